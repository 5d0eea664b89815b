"""What each track may see. This is the only place that decides it, for pages, API and media alike.

identity         every reference of the person's ID-group; no prompt
controllability  the primary reference and the differential prompt; no other reference
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.db import connection

from annotate.database.statements import rows
from annotate.models import InstanceReference, Judgment, Reference, Slot, Use, VideoSample
from annotate.people.queries import statements_of, usable_references
from rlhf.records import SIDES, Track, choice_of, verdict_of


@dataclass(frozen=True)
class ShownReference:
    """A reference as a track shows it: `name` is its place on the page, never a row's id."""

    name: str
    reference: Reference | InstanceReference
    is_primary: bool


@dataclass(frozen=True)
class JudgingTask:
    """All that an annotator receives of one leased slot."""

    slot: Slot
    references: tuple[ShownReference, ...]
    prompt: str | None
    statements: tuple[str, ...] | None
    changes: dict[str, str] | None


def judging_task(slot: Slot) -> JudgingTask:
    instance = slot.pair.instance
    if slot.track == Track.IDENTITY:
        shown = tuple(
            ShownReference(f"reference-{number}", reference, is_primary=False)
            for number, reference in enumerate(_references(instance.group_id))
        )
        return JudgingTask(slot, shown, None, None, None)
    primary = instance.places.select_related("reference").get(position=0).shown
    return JudgingTask(
        slot,
        (ShownReference("reference-0", primary, is_primary=True),),
        instance.prompt.text,
        statements_of(instance),
        {element["element"]: element["target"] for element in instance.prompt.elements if element["changed"]},
    )


def said_on_screen(judgment: Judgment) -> dict[str, Any]:
    """An answer in the words of the screen, as it was sent."""
    on_screen = partial(choice_of, first_on_left=judgment.slot.first_on_left)
    return {
        "choice": on_screen(judgment.verdict),
        "strength": judgment.strength,
        "reasons": judgment.reasons,
        "note": judgment.note,
        "breaks": [{"side": on_screen(mark["sample"]), "frame": mark["frame"]} for mark in judgment.breaks],
    }


def shown_file(slot: Slot, name: str) -> str | None:
    """The stored file behind a name of a leased slot, or None where the track shows no such thing."""
    if name in SIDES:
        sample: VideoSample = getattr(slot.pair, verdict_of(name, first_on_left=slot.first_on_left))
        return sample.shown_path or sample.path
    name, _, part = name.partition(".")
    for shown in judging_task(slot).references:
        if shown.name == name:
            return shown.reference.poster if part == "poster" else shown.reference.path
    return None


_MEDIA = ("id", "kind", "path", "poster")
_ANYBODY = -1


def _references(group_id: int) -> list[Reference]:
    """What may be shown of a person, in order; nothing but media is read of it."""
    statement, values = _references_statement()
    found = rows(statement, [group_id if value == _ANYBODY else value for value in values])
    return [Reference.from_db(connection.alias, _MEDIA, row) for row in found]


@cache
def _references_statement() -> tuple[str, tuple[Any, ...]]:
    """Of anybody. To put it together costs the ORM more than to run it, and every other pair asks."""
    media = usable_references(Use.SHOW).filter(group=_ANYBODY).values_list(*_MEDIA)
    statement, values = media.query.sql_with_params()
    return statement, values
