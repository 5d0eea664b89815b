"""Reads for exports: which video of a pair a rule chooses, and why the other pairs are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from annotate.consent_queries import given
from annotate.models import PreferencePair, Round, Use
from rlhf import records
from rlhf.consensus import ADJUDICATED_RULE_VERSION
from rlhf.export_rule import ExportRule, choose
from rlhf.records import Track, Verdict

#: Of a video in its pair.
Place = Literal["first", "second"]
#: Why a pair is left out that the rule would export.
NO_CONSENT = "no consent of the person"


def chosen_by(
    rule: ExportRule, round: Round, *, include_simulated: bool, uses: Sequence[Use] = (Use.TRAIN,)
) -> tuple[dict[int, Place], Counter[str]]:
    """The chosen video of every pair that the rule exports, by preference; why the others are left out.

    Pairs of people who did not agree to all `uses` are among those left out.
    """
    chosen: dict[int, Place] = {}
    reasons: Counter[str] = Counter()
    pairs = PreferencePair.objects.filter(pair__round=round).select_related("pair")
    pairs = pairs.annotate(has_consent=given("pair__instance__group", *uses))
    pairs = pairs.prefetch_related("pair__consensuses").order_by("pair_id")
    for preference in pairs.iterator(chunk_size=1_000):
        place, reason = _place(rule, preference)
        if preference.pair.prompt_unread:
            place, reason = None, "the model did not read the whole prompt"
        if place and preference.is_simulated and not include_simulated:
            place, reason = None, "simulated votes"
        if place and not preference.has_consent:
            place, reason = None, NO_CONSENT
        if place:
            chosen[preference.pk] = place
        else:
            reasons[reason] += 1
    return chosen, reasons


def dominant_place(preference: PreferencePair) -> Place | None:
    """The video that is better on both tracks, if one is."""
    if preference.joint_state != records.JointState.DOMINANT:
        return None
    return "first" if preference.chosen_id == preference.pair.first_id else "second"


def _place(rule: ExportRule, preference: PreferencePair) -> tuple[Place | None, str]:
    """The chosen video by the rule. Of Pareto, and wherever a track waits, the joint state says it."""
    found = {Track(consensus.track): consensus for consensus in preference.pair.consensuses.all()}
    if rule is ExportRule.PARETO or len(found) < len(Track):
        return dominant_place(preference), f"{preference.joint_state}: {preference.reason}"
    verdicts = {track: Verdict(consensus.verdict) for track, consensus in found.items()}
    votes = {
        track: {verdicts[track]: 1}
        if consensus.rule_version == ADJUDICATED_RULE_VERSION
        else {Verdict(name): count for name, count in consensus.votes.items()}
        for track, consensus in found.items()
    }
    return choose(rule, verdicts, votes)
