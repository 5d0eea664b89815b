"""Fit the model of a round's votes, and look again at the pairs that wait for one more."""

from __future__ import annotations

from datetime import timedelta

from annotate.database.claims import hold
from annotate.judging.resolution import resolve_pairs
from annotate.judging.vote_queries import (
    FitMade,
    counting_votes,
    digest_of_votes,
    has_votes,
    newest_fits,
    newest_models,
    pairs_before_fit,
)
from annotate.models import Round, VoteFit
from rlhf.records import Track
from rlhf.votes.fit import FIT_VERSION, fit_again

#: A fit rests a second for so many of its votes, since a few new ones add little to many: one of a million
#: votes is made anew every three minutes at most.
VOTES_PER_SECOND_OF_REST = 5_000


def fit_round(round: Round) -> list[VoteFit]:
    """Fit each track, people and simulated annotators apart, and return the fits that are new.

    The same votes are never read twice, and many votes not again for a while.

    In a round that stops by probability, open pairs that were resolved before its newest fit are resolved
    again: what is known of their voters by now may settle them. Safe to repeat, and to kill: a fit is one
    row, and the next job goes on with the pairs that are left. While one job is at it, another one does
    nothing.
    """
    with hold(f"fit of round {round.pk}") as is_alone:
        return _fit_all(round) if is_alone else []


def _fit_all(round: Round) -> list[VoteFit]:
    last = newest_fits(round)
    made = []
    for is_simulated in (False, True):
        if not has_votes(round, is_simulated=is_simulated):
            continue
        digest = digest_of_votes(round, is_simulated=is_simulated, version=FIT_VERSION)
        for track in Track:
            before = last.get((track, is_simulated))
            if _is_due(before, digest) and (fit := _fit(round, track, is_simulated, digest, before)):
                made.append(fit)
    # Pairs that wait may be settled, but none is reopened: exports stay explained by what was known then.
    # A job that was killed here is gone on with by the next one, which finds no new votes.
    if round.stopping is not None:
        resolve_pairs(list(pairs_before_fit(round).values_list("pair_id", flat=True)))
    return made


def _is_due(last: FitMade | None, digest: str) -> bool:
    if last is None:
        return True
    rest = timedelta(seconds=last.num_votes // VOTES_PER_SECOND_OF_REST)
    return last.inputs_hash != digest and last.age >= rest


def _fit(
    round: Round, track: Track, is_simulated: bool, digest: str, before: FitMade | None
) -> VoteFit | None:
    """Votes that come while it reads are not in the digest, so they are news for the next time."""
    votes = counting_votes(round, track, is_simulated=is_simulated)
    last = newest_models(round.pk, is_simulated=is_simulated)[track] if before else None
    if before is None and not len(votes):
        return None  # Before its first vote a track knows nobody anyway.
    return VoteFit.objects.create(
        round=round,
        track=track,
        is_simulated=is_simulated,
        inputs_hash=digest,
        model=fit_again(votes, last, before.num_votes if before else 0).to_json(),
        num_votes=len(votes),
    )
