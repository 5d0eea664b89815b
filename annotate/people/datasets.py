"""People, references and instances as a dataset: out of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Collate

from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference, Use
from annotate.people.queries import annotation_path, usable_references
from annotate.privacy.consent_queries import given, refusal
from annotate.storage.opening import site_storage
from annotate.storage.stored_media import stored_media
from generator.curation.augmentation import Recipe
from generator.dataset.manifest import Manifest
from generator.dataset.rows import InstanceRow, PersonRow, PlaceRow, PromptRow, ReferenceRow
from generator.dataset.write import write_dataset
from generator.files import file_sha256
from generator.frozen_set import MediaFile
from generator.records import ElementChange

ROWS_AT_ONCE = 200


def export_dataset(
    folder: Path, *, split: str | None = None, source: str | None = None, use: Use = Use.PUBLISH
) -> Manifest:
    """Write people who agreed to a use of the dataset, their usable references, and their instances.

    People are named by their pseudonyms, and files by their content; notes stay here. A dataset is to be
    handed out, unless its `use` is training by whoever runs this site.

    Raises:
        ValueError: there is nobody to export, a stored file is damaged, or the folder holds another dataset.
    """
    chosen = IdentityGroup.objects.all()
    chosen = chosen.filter(split=split) if split else chosen
    chosen = chosen.filter(source=source) if source else chosen
    people = chosen.filter(given("", use))
    if not people.exists():
        raise ValueError(refusal(chosen, use) or "there is nobody to export; see the people page")
    references = Reference.objects.filter(group__in=people)
    usable = usable_references(use).filter(group__in=people)
    instances = Instance.objects.filter(group__in=people)
    unusable = InstanceReference.objects.filter(instance=OuterRef("pk")).exclude(reference__in=usable)
    whole = instances.exclude(Exists(unusable))
    left_out = {
        f"people without consent to {use.value}": chosen.count() - people.count(),
        "rejected references": references.count() - usable.count(),
        "instances of rejected references": instances.count() - whole.count(),
    }
    with ExitStack() as held:
        return write_dataset(
            folder,
            _person_rows(people),
            _reference_rows(usable, held),
            _instance_rows(whole, held),
            left_out={reason: count for reason, count in left_out.items() if count},
        )


def _in_order(rows: QuerySet[Any], prefix: str, *last: str) -> Iterator[Any]:
    """By content, so that two databases with the same people export the same bytes."""
    order = [Collate(f"{prefix}{name}", "C") for name in ("source", "pseudonym")]
    return rows.order_by(*order, *last).iterator(chunk_size=ROWS_AT_ONCE)


def _person_rows(people: QuerySet[IdentityGroup]) -> Iterator[PersonRow]:
    for group in _in_order(people, ""):
        yield PersonRow(
            source=group.source,
            person=group.pseudonym,
            split=group.split,
            licence=group.licence,
            consent=tuple(group.consent_uses or ()),
            consent_expires_on=group.consent_expires_on,
            truth=group.truth,
        )


def _reference_rows(references: QuerySet[Reference], held: ExitStack) -> Iterator[ReferenceRow]:
    for item in _in_order(references.select_related("group"), "group__", "sha256"):
        yield ReferenceRow(
            source=item.group.source,
            person=item.group.pseudonym,
            file=_file(item, held),
            kind=item.modality,
            source_name=_source_name(item),
            source_sha256=item.source_sha256,
            shot=item.shot,
            is_primary=item.group.primary_id == item.pk,
            width=item.width,
            height=item.height,
            num_frames=item.num_frames,
            fps=item.fps,
            elements=item.elements,
            facts=item.facts,
            boxes=item.boxes,
            quality=item.quality,
            annotation=_annotation(item, held),
        )


def _source_name(item: Reference) -> str:
    """People call files by names; those of drawn people are their places in the portrait world."""
    if item.group.is_synthetic:
        return item.source_name
    return f"{item.source_sha256[:16]}{Path(item.source_name).suffix.lower()}"


def _instance_rows(instances: QuerySet[Instance], held: ExitStack) -> Iterator[InstanceRow]:
    wanted = instances.select_related("group", "prompt").prefetch_related("places__reference")
    for instance in _in_order(wanted, "group__", "digest"):
        places = sorted(instance.places.all(), key=lambda place: (place.position is None, place.position))
        yield InstanceRow(
            source=instance.group.source,
            person=instance.group.pseudonym,
            split=instance.group.split,
            instance_id=instance.digest,
            references=tuple(_place_row(place, held) for place in places if place.position is not None),
            target=next((_file(place.reference, held) for place in places if place.position is None), None),
            prompts=tuple(map(_prompt_row, reversed(instance.prompt.versions))),
        )


def _annotation(item: Reference, held: ExitStack) -> MediaFile | None:
    try:
        record = held.enter_context(site_storage().local(annotation_path(item)))
    except FileNotFoundError:
        return None
    return MediaFile(record, file_sha256(record))


def _place_row(place: InstanceReference, held: ExitStack) -> PlaceRow:
    recipe = None if place.recipe is None else Recipe.from_json(place.recipe)
    return PlaceRow(_file(place.shown, held), place.shown.modality, place.reference.sha256, recipe)


def _prompt_row(prompt: DifferentialPrompt) -> PromptRow:
    elements = tuple(ElementChange(**element) for element in prompt.elements)
    return PromptRow(prompt.text, prompt.method, elements)


def _file(item: Reference | InstanceReference, held: ExitStack) -> MediaFile:
    return stored_media(item.path, item.sha256, held)
