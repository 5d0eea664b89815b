"""Reads for exports: which video of a pair a rule chooses, and why the other pairs are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from annotate.models import PreferencePair, Round
from rlhf.consensus import ADJUDICATED_RULE_VERSION
from rlhf.export_rule import ExportRule, choose
from rlhf.records import JointState, Track, Verdict

#: Of a video in its pair.
Place = Literal["first", "second"]


def chosen_by(
    rule: ExportRule, round: Round, *, include_simulated: bool
) -> tuple[dict[int, Place], Counter[str]]:
    """The chosen video of every pair that the rule exports, by preference; why the others are left out."""
    chosen: dict[int, Place] = {}
    reasons: Counter[str] = Counter()
    for key, is_simulated, place, reason in _placed(rule, round):
        if place and is_simulated and not include_simulated:
            place, reason = None, "simulated votes"
        if place:
            chosen[key] = place
        else:
            reasons[reason] += 1
    return chosen, reasons


def _placed(rule: ExportRule, round: Round) -> Iterator[tuple[int, bool, Place | None, str]]:
    """Every pair's key, whether its votes are simulated, and what the rule makes of it."""
    pairs = PreferencePair.objects.filter(pair__round=round).order_by("pair_id")
    if rule is ExportRule.PARETO:  # the joint state says it, so nothing else is read
        names = ("pk", "is_simulated", "joint_state", "reason", "chosen_id", "pair__first_id")
        for key, is_simulated, state, reason, chosen, first in pairs.values_list(*names).iterator():
            yield key, is_simulated, _dominant(state, chosen, first), f"{state}: {reason}"
        return
    judged = pairs.select_related("pair").prefetch_related("pair__consensuses")
    for preference in judged.iterator(chunk_size=1_000):
        yield preference.pk, preference.is_simulated, *_place(rule, preference)


def dominant_place(preference: PreferencePair) -> Place | None:
    """The video that is better on both tracks, if one is."""
    return _dominant(preference.joint_state, preference.chosen_id, preference.pair.first_id)


def _dominant(state: str, chosen: int | None, first: int) -> Place | None:
    if state != JointState.DOMINANT:
        return None
    return "first" if chosen == first else "second"


def _place(rule: ExportRule, preference: PreferencePair) -> tuple[Place | None, str]:
    """The chosen video by the rule. Where a track waits, the joint state says why there is none."""
    found = {Track(consensus.track): consensus for consensus in preference.pair.consensuses.all()}
    if len(found) < len(Track):
        return dominant_place(preference), f"{preference.joint_state}: {preference.reason}"
    verdicts = {track: Verdict(consensus.verdict) for track, consensus in found.items()}
    votes = {
        track: {verdicts[track]: 1}
        if consensus.rule_version == ADJUDICATED_RULE_VERSION
        else {Verdict(name): count for name, count in consensus.votes.items()}
        for track, consensus in found.items()
    }
    return choose(rule, verdicts, votes)
