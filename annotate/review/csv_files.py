"""What a list shows as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from annotate.models import VideoPair
from annotate.review.queries import GivenVote

#: Rows of a file, from the first one that the page shows; a whole round is a file of judgments.
MAX_ROWS = 1_000
#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

PAIR_COLUMNS = ("pair", "state", "why", "person", "prompt", "first_seed", "second_seed")
VOTE_COLUMNS = (
    *("pair", "track", "annotator", "simulated", "given_at", "revisions", "verdict", "strength", "reasons"),
    *("note", "breaks", "first_side", "watched", "active_s", "speed", "result", "counts"),
)


def pair_rows(pairs: Iterable[VideoPair]) -> Iterable[Sequence[object]]:
    for pair in pairs:
        found = getattr(pair, "preference", None)
        state, why = (found.joint_state, found.reason) if found else ("", "")
        prompt = pair.instance.prompt.text
        yield pair.pk, state, why, pair.instance.group.name, prompt, pair.first.seed, pair.second.seed


def vote_rows(votes: Iterable[GivenVote]) -> Iterable[Sequence[object]]:
    for vote in votes:
        slot, said = vote.slot, vote.judgment
        assert slot.annotator is not None, "a judged slot has its person"
        yield (
            *(slot.pair_id, slot.track, slot.annotator.username, said.is_simulated),
            *(said.created_at.isoformat(), vote.num_revisions, said.verdict, said.strength),
            *("; ".join(said.reasons), said.note),
            "; ".join(f"{mark['sample']} {mark['frame']}" for mark in said.breaks),
            *(slot.first_side, vote.watched, vote.active_s, said.evidence.get("speed")),
            *(vote.consensus, vote.counts),
        )


def csv_response(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    response = HttpResponse(file.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
