"""Fit the model of a round's votes, and look again at the pairs that wait for one more."""

from __future__ import annotations

from annotate.database.claims import hold
from annotate.judging.resolution import resolve_pair
from annotate.judging.vote_queries import counting_votes, newest_digests, news_of_votes, pairs_still_open
from annotate.models import Round, VoteFit
from rlhf.records import Track
from rlhf.votes.fit import FIT_VERSION, fit_votes


def fit_round(round: Round) -> list[VoteFit]:
    """Fit each track, people and simulated annotators apart, and return the fits that are new.

    The same votes are never read twice.

    Where something new was found in a round that stops by probability, its open pairs are resolved again:
    what is known of their voters by now may settle them. Safe to repeat, and to kill: a fit is one row, and
    resolving again changes nothing. While one job is at it, another one does nothing.
    """
    with hold(f"fit of round {round.pk}") as is_alone:
        return _fit_all(round) if is_alone else []


def _fit_all(round: Round) -> list[VoteFit]:
    news = news_of_votes(round, version=FIT_VERSION)
    known = newest_digests(round)
    made = [
        _fit(round, track, is_simulated, digest)
        for is_simulated in (False, True)
        for track in Track
        if (digest := news.get((track, is_simulated))) and digest != known.get((track, is_simulated))
    ]
    # Pairs that wait may be settled, but none is reopened: exports stay explained by what was known then.
    if made and round.stopping is not None:
        for pair_id in list(pairs_still_open(round).values_list("pair_id", flat=True)):
            resolve_pair(pair_id)
    return made


def _fit(round: Round, track: Track, is_simulated: bool, digest: str) -> VoteFit:
    """Votes that come while it reads are not in the digest, so they are news for the next time."""
    votes = counting_votes(round, track, is_simulated=is_simulated)
    return VoteFit.objects.create(
        round=round,
        track=track,
        is_simulated=is_simulated,
        inputs_hash=digest,
        model=fit_votes(votes).to_json(),
        num_votes=len(votes),
    )
