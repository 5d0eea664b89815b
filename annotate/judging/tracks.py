"""What each track may see. This is the only place that decides it, for pages, API and media alike.

identity         every reference of the person's ID-group; no prompt
controllability  the primary reference and the differential prompt; no other reference
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.db import connection
from django.db.models import Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import JSONArray
from psycopg.sql import Literal

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


def judging_task(slot: Slot, *, as_leased: bool = False) -> JudgingTask:
    """What is shown of a slot; `as_leased` as the statement read it that leased the slot, where it did."""
    shown = slot.shown_when_leased if as_leased else None
    media = _media(slot) if shown is None else json.loads(shown)
    is_primary = slot.track == Track.CONTROLLABILITY
    references = tuple(
        ShownReference(f"reference-{number}", _read(*columns), is_primary)
        for number, columns in enumerate(media)
    )
    if slot.track == Track.IDENTITY:
        return JudgingTask(slot, references, None, None, None)
    instance = slot.pair.instance
    return JudgingTask(
        slot,
        references,
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


#: Nothing but media is read of a reference: whether it is a crop of an instance, and these columns.
_MEDIA = ("id", "kind", "path", "poster")


def shown_of(track: str) -> str:
    """SQL: what a track shows of the instance `i`, in order, as a JSON array of what `_read` takes.

    To put it together costs the ORM more than to run it, and every pair asks.
    """
    return _whole_group() if track == Track.IDENTITY else _PRIMARY


_PRIMARY = f"""(
    SELECT jsonb_agg(CASE WHEN place.recipe IS NULL
        THEN jsonb_build_array(false, {", ".join(f"r.{name}" for name in _MEDIA)})
        ELSE jsonb_build_array(true, {", ".join(f"place.{name}" for name in _MEDIA)}) END)
    FROM annotate_instancereference place JOIN annotate_reference r ON r.id = place.reference_id
    WHERE place.instance_id = i.id AND place.position = 0
)"""


@cache
def _whole_group() -> str:
    media = usable_references(Use.SHOW).filter(group=RawSQL("i.group_id", ()))
    columns = media.values_list(JSONArray(Value(False), *_MEDIA))
    statement, values = columns.query.sql_with_params()
    literals = tuple(Literal(value).as_string() for value in values)
    return f"to_jsonb(ARRAY({(statement % literals).replace('%', '%%')}))"


def _media(slot: Slot) -> list[list[Any]]:
    statement = f"SELECT {shown_of(slot.track)} FROM annotate_instance i WHERE i.id = %(instance)s"
    found: list[list[Any]] = json.loads(rows(statement, {"instance": slot.pair.instance_id})[0][0])
    return found


def _read(is_crop: bool, *columns: Any) -> Reference | InstanceReference:
    table = InstanceReference if is_crop else Reference
    return table.from_db(connection.alias, _MEDIA, columns)
