"""Fit the model of a round's votes, and look again at the pairs that wait for one more."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from django.db import transaction

from annotate.models import Round, VoteFit
from annotate.services.resolution import resolve_pair
from annotate.vote_queries import counting_votes, pairs_still_open
from rlhf.records import Track
from rlhf.vote_fit import FIT_VERSION, fit_votes
from rlhf.votes import Vote


def fit_round(round: Round) -> list[VoteFit]:
    """Fit each track, people and simulated annotators apart; the same votes are never fitted twice.

    Where something new was found in a round that stops by probability, its open pairs are resolved again:
    what is known of their voters by now may settle them. Safe to repeat, and to kill: a fit is one row, and
    resolving again changes nothing.

    Returns:
        The new fits.
    """
    made = [
        fit
        for is_simulated in (False, True)
        for track in Track
        if (fit := _fit(round, track, is_simulated=is_simulated)) is not None
    ]
    if made and round.stopping is not None:
        for pair_id in list(pairs_still_open(round).values_list("pair_id", flat=True)):
            resolve_pair(pair_id)
    return made


@transaction.atomic
def _fit(round: Round, track: Track, *, is_simulated: bool) -> VoteFit | None:
    """The round's row makes two jobs at once wait for each other; voters do not wait for it."""
    Round.objects.select_for_update(no_key=True).get(pk=round.pk)
    votes = counting_votes(round, track, is_simulated=is_simulated)
    of_its_kind = VoteFit.objects.filter(round=round, track=track, is_simulated=is_simulated)
    newest = of_its_kind.order_by("id").last()
    inputs_hash = _inputs_hash(votes)
    if (not votes and newest is None) or (newest is not None and newest.inputs_hash == inputs_hash):
        return None
    return VoteFit.objects.create(
        round=round,
        track=track,
        is_simulated=is_simulated,
        inputs_hash=inputs_hash,
        model=fit_votes(votes).to_json(),
        num_votes=len(votes),
    )


def _inputs_hash(votes: list[Vote]) -> str:
    digest = hashlib.sha256(FIT_VERSION.encode())
    for vote in votes:
        digest.update(json.dumps(asdict(vote), sort_keys=True, default=str).encode())
    return digest.hexdigest()
