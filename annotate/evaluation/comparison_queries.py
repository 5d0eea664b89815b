"""What people said of two models."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from annotate.judging.vote_queries import counting_votes
from annotate.models import Instance, Round, Use
from annotate.privacy.consent_queries import given, is_held_out
from rlhf.records import Track
from rlhf.votes.bradley_terry import Comparison, Strengths, strengths, win_rate
from rlhf.votes.columns import VERDICT_OF_CODE
from rlhf.votes.vote import Estimate


@dataclass(frozen=True)
class TrackResult:
    """One track of a comparison: how often people prefer the child to its parent, and by how much."""

    track: Track
    num_votes: int
    win_rate: Estimate
    strengths: Strengths


def instances_to_compare_on(*wanted: Use) -> QuerySet[Instance]:
    """Of held-out people who agreed to all that is wanted."""
    return held_out_instances().filter(given("group", *wanted))


def held_out_instances() -> QuerySet[Instance]:
    return Instance.objects.filter(is_held_out("group")).select_related("group", "prompt").order_by("id")


def comparisons_on(round: Round, track: Track, *, is_simulated: bool) -> list[Comparison]:
    """The votes that count on its real pairs, in terms of the models."""
    named = round.pairs.filter(gold=None).values_list(
        "pk", "first__model_version__name", "second__model_version__name"
    )
    models = {pair: (first, second) for pair, first, second in named}
    votes = counting_votes(round, track, is_simulated=is_simulated)
    return [
        Comparison(pair, *models[pair], VERDICT_OF_CODE[code])
        for pair, code in zip(votes.pair.tolist(), votes.verdict.tolist(), strict=True)
        if pair in models
    ]


def has_votes_of_people(round: Round) -> bool:
    return round.slots.filter(pair__gold=None, judgments__is_simulated=False).exists()


def track_results(round: Round, *, is_simulated: bool) -> list[TrackResult]:
    """Of people and simulated annotators apart."""
    votes = {track: comparisons_on(round, track, is_simulated=is_simulated) for track in Track}
    return [
        TrackResult(track, len(said), win_rate(said, round.policy.name), strengths(said))
        for track, said in votes.items()
    ]
