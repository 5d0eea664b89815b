"""Reads for the launch of a DPO run: what it would train on, and what earlier runs took."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.db.models import Count, Q, QuerySet

from annotate.core.access import visible_exports
from annotate.exports.queries import NO_CONSENT, chosen_by, dominant_sample
from annotate.judging.queries import disqualified
from annotate.judging.vote_queries import num_votes_behind, votes_behind
from annotate.models import (
    Export,
    IdentityGroup,
    Judgment,
    PreferencePair,
    Round,
    Run,
    RunStatus,
    Stage,
    Subject,
    Use,
    User,
)
from annotate.people.prompt_reader_queries import reader_of
from annotate.privacy.consent_queries import given, people_of, refusal
from annotate.tallies.queries import counts_of
from generator.records import SamplerSettings
from rlhf.dpo.estimate import Device
from rlhf.dpo.preflight.facts import PairFacts
from rlhf.export.rule import ExportRule
from rlhf.records import JointState, Sample, Track, Verdict
from rlhf.votes.agreement import raw_agreement, verdict_counts
from rlhf.votes.columns import CODE, VoteColumns

#: Videos with more pixels than this are none of the embedded world's.
LARGE_PIXELS = 128 * 128 * 17
#: Pairs that are looked at within a request; more are looked at by a worker.
QUICK_PAIRS = 5_000


@dataclass(frozen=True)
class PairSet:
    """Pairs that a run may train on, and the chosen video of each, by preference.

    An export's pair that is dominant no more has none. `withheld` pairs would be in the set, but show people
    who did not agree to training.
    """

    pairs: QuerySet[PreferencePair]
    samples: Mapping[int, Sample]
    rule: ExportRule
    export: Export | None = None
    withheld: int = 0

    @property
    def digest(self) -> str:
        """Whether they are still the same ones."""
        return hashlib.sha256(repr(sorted(self.samples.items())).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Looked:
    """What was found of a set of pairs, which may be read back when it was found by somebody else."""

    facts: PairFacts
    digest: str  # of the set: whether it is still the same one

    @classmethod
    def at(cls, round: Round, chosen: PairSet) -> Looked:
        return cls(pair_facts(round, chosen), chosen.digest)

    def to_json(self) -> dict[str, Any]:
        return {"facts": asdict(self.facts), "digest": self.digest}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Looked:
        device = found["facts"]["device"]
        told = {"device": Device(**device) if device else None, "unread": tuple(found["facts"]["unread"])}
        return cls(PairFacts(**(found["facts"] | told)), found["digest"])


def is_quick(round: Round, export: Export | None) -> bool:
    """Whether a request may wait for a look at an export, or at the round's pairs."""
    if export is not None:
        return export.num_pairs <= QUICK_PAIRS
    counts = counts_of(Subject.ROUND, [round.pk])[round.pk]
    return sum(counts[f"state.{state}"] for state in JointState) <= QUICK_PAIRS


def pair_set(
    round: Round,
    export: Export | None,
    *,
    include_simulated: bool,
    rule: ExportRule = ExportRule.PARETO,
) -> PairSet:
    """An export's pairs, or those that an export of the round by a rule would hold now."""
    every = PreferencePair.objects.select_related("pair")
    if export is None:
        samples, reasons = chosen_by(rule, round, include_simulated=include_simulated)
        of_round = every.filter(pk__in=samples).order_by("pair_id")
        return PairSet(of_round, samples, rule, withheld=reasons[NO_CONSENT])
    pairs = every.filter(exports=export).order_by("pair_id")
    samples = {pair.pk: sample for pair in pairs.iterator() if (sample := dominant_sample(pair))}
    return PairSet(pairs, samples, ExportRule(export.rule), export)


def usable_exports(user: User, round: Round) -> QuerySet[Export]:
    return (
        visible_exports(user)
        .filter(round=round, withdrawn="", superseded=None, num_pairs__gt=0)
        .order_by("-id")
    )


def pair_facts(round: Round, chosen: PairSet) -> PairFacts:
    """What the pairs are made of, for `rlhf.dpo.preflight`."""
    pairs_of = _count_by(chosen.pairs, "pair__instance__group")
    in_set = IdentityGroup.objects.filter(instances__pairs__preference__in=_ids(chosen.pairs)).distinct()
    votes = {track: votes_behind(chosen.pairs, track) for track in Track}
    answers = np.concatenate([votes[track].answer for track in Track])
    left, right = (int((answers == CODE[verdict]).sum()) for verdict in (Verdict.FIRST, Verdict.SECOND))
    size = SamplerSettings(**round.sampler)
    simulated = num_votes_behind(chosen.pairs, is_simulated=True)
    return PairFacts(
        identities={group.name: pairs_of[group.pk] for group in in_set.order_by("name")},
        simulated_pairs=chosen.pairs.filter(is_simulated=True).count(),
        human_votes=sum(map(len, votes.values())) - simulated,
        simulated_votes=simulated,
        annotators=dict(Counter(person for track in Track for person in votes[track].annotator.tolist())),
        sided_votes=left + right,
        left_votes=left,
        agreement={str(track): _raw(votes[track]) for track in Track},
        disqualified_votes=_disqualified_votes(chosen),
        **_file_facts(chosen, round),
        licences=_count_by(chosen.pairs, "pair__instance__group__licence"),
        without_consent=in_set.filter(~Q(given("", Use.TRAIN))).count(),
        why_no_consent=refusal(in_set, Use.TRAIN),
        withheld=chosen.withheld,
        why_withheld=refusal(people_of(round), Use.TRAIN) if chosen.withheld else "",
        device=last_device(),
        unread=_unread(chosen.pairs, round),
        is_large=size.width * size.height * size.num_frames > LARGE_PIXELS,
    )


def _file_facts(pairs: PairSet, round: Round) -> dict[str, int]:
    """Of the pairs with a chosen video, read one after the other: they may be many."""
    videos = ("pair__first", "pair__second")
    columns = ["pk", *(f"{v}__facts" for v in videos), *(f"{v}__model_version" for v in videos)]
    sizes, uneven, foreign = [], 0, 0
    for key, first, second, *versions in pairs.pairs.values_list(*columns).iterator():
        if key not in pairs.samples:
            continue
        chosen, rejected = (first, second) if pairs.samples[key] == "first" else (second, first)
        if chosen.get("size_bytes") and rejected.get("size_bytes"):
            sizes.append((chosen["size_bytes"], rejected["size_bytes"]))
        uneven += any(chosen.get(n) != rejected.get(n) for n in ("num_frames", "width", "height"))
        foreign += any(version != round.policy_id for version in versions)
    different = [(chosen, rejected) for chosen, rejected in sizes if chosen != rejected]
    return {
        "sized": len(different),
        "chosen_smaller": sum(chosen < rejected for chosen, rejected in different),
        "uneven": uneven,
        "from_others": foreign,
    }


def _unread(pairs: QuerySet[PreferencePair], round: Round) -> tuple[str, ...]:
    """Pairs whose prompts a model of theirs did not read whole, or which the round's model would not."""
    withheld = pairs.exclude(pair__prompt_unread="").order_by("pair_id")
    reasons = withheld.values_list("pair_id", "pair__prompt_unread").iterator()
    unread = [f"pair {key}: {why}" for key, why in reasons]
    if reader := reader_of(round.policy):  # its own pairs were checked when they were planned
        own = Q(pair__first__model_version=round.policy, pair__second__model_version=round.policy)
        foreign = pairs.filter(~own, pair__prompt_unread="").order_by("pair_id")
        prompts = foreign.values_list("pair_id", "pair__instance__prompt__text").iterator()
        unread += [f"pair {key}: {why}" for key, text in prompts if (why := reader.read(text).problem)]
    return tuple(unread)


def _disqualified_votes(chosen: PairSet) -> int:
    """Votes behind an export whose people were disqualified since; what is exported now has none."""
    if chosen.export is None:
        return 0
    votes = Judgment.objects.filter(disqualified("slot__annotator"), created_at__lt=chosen.export.created_at)
    return votes.filter(slot__pair__preference__in=_ids(chosen.pairs)).values("slot").distinct().count()


def _count_by(pairs: QuerySet[PreferencePair], column: str) -> dict[Any, int]:
    return dict(pairs.order_by().values_list(column).annotate(Count("pk")))


def _ids(pairs: QuerySet[PreferencePair]) -> QuerySet[PreferencePair, int]:
    return pairs.order_by().values_list("pk", flat=True)


def _raw(votes: VoteColumns) -> float | None:
    counts = verdict_counts(votes)
    return raw_agreement(counts) if (counts.sum(1) >= 2).any() else None


def last_device() -> Device | None:
    """What the newest finished run on a GPU worker says of its machine."""
    took = (
        Run.objects.filter(
            status=RunStatus.DONE,
            stage__in=(Stage.SFT, Stage.SAMPLE, Stage.DPO, Stage.EVALUATE),
            result__has_key="precision",
        )
        .order_by("-id")
        .values_list("result__precision", flat=True)
        .first()
    )
    return Device(took["device"], took["suits_bf16"], took["slowdown"]) if took else None


def finished_trainings(round: Round) -> QuerySet[Run]:
    """The newest finished DPO runs of the round's base model at its size of videos."""
    size = {f"round__sampler__{name}": round.sampler.get(name) for name in ("width", "height", "num_frames")}
    return Run.objects.filter(
        **size,
        stage=Stage.DPO,
        status=RunStatus.DONE,
        round__policy__base_model=round.policy.base_model,
    ).order_by("-id")[:5]
