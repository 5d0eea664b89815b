"""Compute what takes long of a round's votes, and raise flags that ask leads to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from annotate.database.claims import hold
from annotate.judging.vote_queries import digest_of_votes, disqualified_people, has_votes, round_votes
from annotate.models import AnnotatorFlag, Round, RoundFigures
from annotate.quality.queries import coverage_of_people, newest_figures
from rlhf.records import Track
from rlhf.votes.agreement import agreement
from rlhf.votes.annotators import AnnotatorReport, Flag, report
from rlhf.votes.collusion import colluding
from rlhf.votes.columns import CODE, NO_GOLD, VoteColumns
from rlhf.votes.fit import FIT_VERSION, fit_again
from rlhf.votes.model import VoteModel

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
    """One track."""

    num_votes: int
    figures: dict[str, Any]
    flags: list[Flag]  # what was noticed
    votes_of: dict[int, int]  # how many votes of each person were looked at for it


def _compute(round: Round, *, is_simulated: bool) -> RoundFigures | None:
    """Nobody waits for it: votes that come meanwhile are not in the hash, so they are for the next time."""
    digest = digest_of_votes(round, is_simulated=is_simulated, version=FIGURES_VERSION)
    newest = newest_figures(round, is_simulated=is_simulated)
    if newest is not None and newest.inputs_hash == digest:
        return None
    if newest is None and not has_votes(round, is_simulated=is_simulated):
        return None
    coverage = coverage_of_people(round, is_simulated=is_simulated)
    by_track = {}
    for track in Track:
        votes = round_votes(round, track, is_simulated=is_simulated)
        before = newest.figures[str(track)] if newest else {}
        by_track[track] = _figures_of(track, votes, coverage, before)
    return _store(round, by_track, is_simulated=is_simulated, digest=digest)


@transaction.atomic
def _store(
    round: Round, by_track: Mapping[Track, _TrackFigures], *, is_simulated: bool, digest: str
) -> RoundFigures:
    """The round's row makes two jobs at once wait for each other here; voters do not wait for it."""
    Round.objects.select_for_update(no_key=True).get(pk=round.pk)
    for track, computed in by_track.items():
        raise_flags(round, track, computed.flags, computed.votes_of)
    made, _ = RoundFigures.objects.update_or_create(
        round=round,
        is_simulated=is_simulated,
        defaults={
            "inputs_hash": digest,
            "num_votes": sum(computed.num_votes for computed in by_track.values()),
            "figures": {str(track): computed.figures for track, computed in by_track.items()},
        },
    )
    return made


def _figures_of(
    track: Track,
    votes: VoteColumns,
    coverage: Mapping[tuple[str, int], float],
    before: Mapping[str, Any],
) -> _TrackFigures:
    """Who is disqualified counts nowhere but in the row about them.

    The fit goes on from that of the figures `before`. Everything else is counted anew: a vote changes what is
    compared of everybody who has judged its pair, and so all means.
    """
    lost = disqualified_people()
    counting = votes.without(lost)
    reports = report(counting)
    last = VoteModel.from_json(before["model"]) if "model" in before else None
    model = fit_again(counting, last, before.get("num_counting", 0))
    flags = [flag for person in reports for flag in person.flags] + colluding(counting, model)
    asked = counting[counting.gold == NO_GOLD]
    everybody = reports + ([person for person in report(votes) if person.annotator in lost] if lost else [])
    figures = {
        "model": model.to_json(),
        "num_counting": len(counting),
        "agreement": asdict(agreement(asked)),
        "verdicts": {str(verdict): int((asked.verdict == code).sum()) for verdict, code in CODE.items()},
        "answers": {
            verdict.data.choice: count
            for verdict, code in CODE.items()
            if (count := int((asked.answer == code).sum()))
        },
        "people": {
            str(person.annotator): _row(person, coverage.get((str(track), person.annotator)))
            for person in everybody
        },
    }
    votes_of = {person.annotator: person.votes for person in reports}
    return _TrackFigures(len(votes), figures, flags, votes_of)


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
