"""What each track may see. This is the only place that decides it, for pages, API and media alike.

identity         every reference of the person's ID-group; no prompt
controllability  the primary reference and the differential prompt; no other reference
"""

from __future__ import annotations

from dataclasses import dataclass

from annotate.models import InstanceReference, Reference, Side, Slot, Use
from annotate.people.queries import statements_of, usable_references
from rlhf.records import Track


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
            for number, reference in enumerate(usable_references(Use.SHOW).filter(group=instance.group_id))
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


def shown_file(slot: Slot, name: str) -> str | None:
    """The stored file behind a name of a leased slot, or None where the track shows no such thing.

    Sides are mapped here for the eye; votes are mapped back in `services.slots`.
    """
    first_is_left = slot.first_side == Side.LEFT
    if name in Side.values:
        sample = slot.pair.first if (name == Side.LEFT) == first_is_left else slot.pair.second
        return sample.shown_path or sample.path
    name, _, part = name.partition(".")
    for shown in judging_task(slot).references:
        if shown.name == name:
            return shown.reference.poster if part == "poster" else shown.reference.path
    return None
