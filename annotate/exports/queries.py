"""Reads for exports: which video of a pair a rule chooses, and why the other pairs are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import QuerySet

from annotate.judging.vote_queries import disqualified_people
from annotate.models import Export, JudgmentFile, PreferencePair, Round, Use, User
from annotate.privacy.consent_queries import given
from annotate.tallies.queries import votes_of_people
from rlhf.export.rule import ExportRule, choose
from rlhf.records import JointState, Sample, Track, Verdict
from rlhf.votes.consensus import ADJUDICATED_RULE_VERSION

#: Why a pair is left out that the rule would export.
NO_CONSENT = "no consent of the person"


#: A pair that is exported, by its preference, and its chosen video.
Chosen = tuple[int, Sample]


def chosen_by(
    rule: ExportRule, round: Round, *, include_simulated: bool, uses: Sequence[Use] = (Use.TRAIN,)
) -> tuple[dict[int, Sample], Counter[str]]:
    """The chosen video of every pair that the rule exports, by preference; why the others are left out."""
    reasons: Counter[str] = Counter()
    chosen = iter_chosen(rule, round, reasons, include_simulated=include_simulated, uses=uses)
    return dict(chosen), reasons


def iter_chosen(
    rule: ExportRule, round: Round, reasons: Counter[str], *, include_simulated: bool, uses: Sequence[Use]
) -> Iterator[Chosen]:
    """One after the other in the order of their pairs, while `reasons` counts why others are left out.

    Pairs of people who did not agree to all `uses` are among those left out.
    """
    for pair in _sampled(rule, round, uses):
        if pair.is_unread:
            reasons["the model did not read the whole prompt"] += 1
        elif pair.sample is None:
            reasons[pair.reason] += 1
        elif pair.is_simulated and not include_simulated:
            reasons["simulated votes"] += 1
        elif not pair.has_consent:
            reasons[NO_CONSENT] += 1
        else:
            yield pair.key, pair.sample


class _Sampled(NamedTuple):
    """What a rule makes of a pair, and what else may keep it out of an export."""

    key: int
    is_simulated: bool
    has_consent: bool
    is_unread: bool
    sample: Sample | None
    reason: str


def _sampled(rule: ExportRule, round: Round, uses: Sequence[Use]) -> Iterator[_Sampled]:
    pairs = PreferencePair.objects.filter(pair__round=round).order_by("pair_id")
    pairs = pairs.annotate(has_consent=given("pair__instance__group", *uses))
    if rule is ExportRule.PARETO:  # the joint state says it, so nothing else is read
        names: tuple[str, ...] = ("pk", "is_simulated", "has_consent", "pair__prompt_unread")
        names += ("joint_state", "reason", "chosen_id", "pair__first_id")
        row: tuple[Any, ...]
        for row in pairs.values_list(*names).iterator():
            key, is_simulated, has_consent, unread, state, reason, chosen, first = row
            sample = _dominant(state, chosen, first)
            yield _Sampled(key, is_simulated, has_consent, bool(unread), sample, f"{state}: {reason}")
        return
    judged = pairs.select_related("pair").prefetch_related("pair__consensuses")
    for pair in judged.iterator(chunk_size=1_000):
        unread = bool(pair.pair.prompt_unread)
        yield _Sampled(pair.pk, pair.is_simulated, pair.has_consent, unread, *_choose(rule, pair))


def dominant_sample(preference: PreferencePair) -> Sample | None:
    """The video that is better on both tracks, if one is."""
    return _dominant(preference.joint_state, preference.chosen_id, preference.pair.first_id)


def _dominant(state: str, chosen: int | None, first: int) -> Sample | None:
    if state != JointState.DOMINANT:
        return None
    return "first" if chosen == first else "second"


def _choose(rule: ExportRule, preference: PreferencePair) -> tuple[Sample | None, str]:
    """The chosen video by the rule. Where a track waits, the joint state says why there is none."""
    decided = {Track(consensus.track): consensus for consensus in preference.pair.consensuses.all()}
    if len(decided) < len(Track):
        return dominant_sample(preference), f"{preference.joint_state}: {preference.reason}"
    verdicts = {track: Verdict(consensus.verdict) for track, consensus in decided.items()}
    votes = {
        track: {verdicts[track]: 1}
        if consensus.rule_version == ADJUDICATED_RULE_VERSION
        else {Verdict(name): count for name, count in consensus.votes.items()}
        for track, consensus in decided.items()
    }
    return choose(rule, verdicts, votes)


def visible_files(user: User) -> QuerySet[JudgmentFile]:
    files = JudgmentFile.objects.select_related("round", "requested_by").order_by("-id")
    return files if user.is_lead else files.none()


def votes_of(export: Export) -> Votes:
    """Of the votes that an export was made from those that count now."""
    given = {int(annotator): number for annotator, number in export.votes_by.items()}
    return _Voters.among(given).count(given)


@dataclass(frozen=True)
class Votes:
    """Counting votes, and of how many people (or simulated annotators) they are."""

    human: int
    simulated: int
    people: int
    simulated_people: int

    @property
    def total(self) -> int:
        return self.human + self.simulated


def votes_in(rounds: Iterable[Round]) -> dict[int, Votes]:
    """Of each round, on pairs that are no gold."""
    given = votes_of_people([round.pk for round in rounds])
    people = _Voters.among({person for counts in given.values() for person in counts})
    return {round.pk: people.count(given.get(round.pk, {})) for round in rounds}


@dataclass(frozen=True)
class _Voters:
    """Who of some people is simulated, and whose votes do not count."""

    simulated: frozenset[int]
    lost: frozenset[int]

    @classmethod
    def among(cls, people: Collection[int]) -> _Voters:
        simulated = User.objects.filter(pk__in=people, is_simulated=True)
        return cls(frozenset(simulated.values_list("pk", flat=True)), frozenset(disqualified_people()))

    def count(self, given: Mapping[int, int]) -> Votes:
        """Of the votes that each person gave those that count."""
        counting = {person: count for person, count in given.items() if person not in self.lost}
        simulated = {person: count for person, count in counting.items() if person in self.simulated}
        num_simulated = sum(simulated.values())
        return Votes(
            human=sum(counting.values()) - num_simulated,
            simulated=num_simulated,
            people=len(counting) - len(simulated),
            simulated_people=len(simulated),
        )
