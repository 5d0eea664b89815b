"""Compute what takes long of a round's votes, and raise flags that ask leads to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from annotate.database.claims import hold
from annotate.judging.vote_queries import disqualified_people, round_votes
from annotate.models import AnnotatorFlag, Round, RoundFigures
from annotate.quality.queries import coverage_of_people, has_votes, inputs_hash, newest_figures
from rlhf.records import Track, Verdict
from rlhf.votes.agreement import agreement
from rlhf.votes.annotators import AnnotatorReport, Flag, report
from rlhf.votes.collusion import colluding
from rlhf.votes.fit import FIT_VERSION, fit_votes
from rlhf.votes.vote import Vote

#: Changes whenever the same votes could give other figures.
FIGURES_VERSION = f"figures-1 {FIT_VERSION}"
#: A reviewed flag rests until this person has given so many times as many votes.
RAISED_AGAIN = 2


def compute_round(round: Round) -> list[RoundFigures]:
    """Bring a round's figures up to date, of people and of simulated annotators apart; those that are new.

    Safe to repeat, and to kill: the same votes give the same figures and flags, and are computed once. While
    one job is at it, another one does nothing.
    """
    with hold(f"figures of round {round.pk}") as is_alone:
        if not is_alone:
            return []
        made = [_compute(round, is_simulated=is_simulated) for is_simulated in (False, True)]
    return [figures for figures in made if figures is not None]


@dataclass(frozen=True)
class _TrackFigures:
    """One track: the figures, what was noticed, and how many votes of each person were looked at."""

    figures: dict[str, Any]
    flags: list[Flag]
    num_votes: dict[int, int]


def _compute(round: Round, *, is_simulated: bool) -> RoundFigures | None:
    """Nobody waits for it: votes that come meanwhile are not in the hash, so they are for the next time."""
    digest = inputs_hash(round, is_simulated=is_simulated, version=FIGURES_VERSION)
    newest = newest_figures(round, is_simulated=is_simulated)
    if newest is not None and newest.inputs_hash == digest:
        return None
    if newest is None and not has_votes(round, is_simulated=is_simulated):
        return None
    votes = round_votes(round, is_simulated=is_simulated)
    coverage = coverage_of_people(round, is_simulated=is_simulated)
    by_track = {
        track: _figures_of(track, [vote for vote in votes if vote.track is track], coverage)
        for track in Track
    }
    return _store(round, by_track, is_simulated=is_simulated, digest=digest, num_votes=len(votes))


@transaction.atomic
def _store(
    round: Round, by_track: Mapping[Track, _TrackFigures], *, is_simulated: bool, digest: str, num_votes: int
) -> RoundFigures:
    """The round's row makes two jobs at once wait for each other here; voters do not wait for it."""
    Round.objects.select_for_update(no_key=True).get(pk=round.pk)
    for track, computed in by_track.items():
        raise_flags(round, track, computed.flags, computed.num_votes)
    made, _ = RoundFigures.objects.update_or_create(
        round=round,
        is_simulated=is_simulated,
        defaults={
            "inputs_hash": digest,
            "num_votes": num_votes,
            "figures": {str(track): computed.figures for track, computed in by_track.items()},
        },
    )
    return made


def _figures_of(
    track: Track, votes: Sequence[Vote], coverage: Mapping[tuple[str, int], float]
) -> _TrackFigures:
    """Who is disqualified counts nowhere but in the row about them."""
    lost = disqualified_people()
    counting = [vote for vote in votes if vote.annotator not in lost]
    reports = report(counting)
    flags = [flag for person in reports for flag in person.flags] + colluding(counting, fit_votes(counting))
    asked = [vote for vote in counting if vote.gold is None]
    verdicts = Counter(vote.verdict for vote in asked)
    everybody = reports + [person for person in report(votes) if person.annotator in lost]
    figures = {
        "agreement": asdict(agreement(asked)),
        "verdicts": {str(verdict): verdicts[verdict] for verdict in Verdict},
        "answers": dict(Counter(vote.answer for vote in asked)),
        "people": {
            str(person.annotator): _row(person, coverage.get((str(track), person.annotator)))
            for person in everybody
        },
    }
    return _TrackFigures(figures, flags, {person.annotator: person.votes for person in reports})


def _row(person: AnnotatorReport, coverage: float | None) -> dict[str, Any]:
    row = asdict(person) | {"coverage": coverage}
    del row["flags"], row["annotator"]
    return row


def raise_flags(round: Round, track: Track, noticed: Iterable[Flag], num_votes: Mapping[int, int]) -> None:
    """Store what was noticed; an open flag is brought up to date, a reviewed one rests for a while."""
    for flag in noticed:
        what = {"annotator_id": flag.annotator, "partner_id": flag.partner, "kind": flag.kind}
        same = AnnotatorFlag.objects.filter(round=round, track=track, **what)
        last = same.order_by("-id").first()
        seen = num_votes[flag.annotator]
        values = {"figure": flag.figure, "chance": flag.chance, "evidence": flag.reason, "num_votes": seen}
        if last is not None and not last.outcome:
            same.filter(pk=last.pk).update(**values)
        elif last is None or seen >= RAISED_AGAIN * last.num_votes:
            AnnotatorFlag.objects.create(round=round, track=track, **what, **values)
