"""People, references and instances as a dataset: into the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import transaction

from annotate.core.audit import record_event
from annotate.models import (
    Curation,
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    Reference,
    is_pseudonym,
)
from annotate.people.identities import media_columns, store_poster
from annotate.people.instances import crop_columns, crop_path
from annotate.people.people import state_consent
from annotate.people.prompt_reader_queries import Readers, readers_in_use
from annotate.privacy.consent_queries import today
from annotate.storage.opening import site_storage
from generator.curation.annotation import ANNOTATION_NAME, load_annotation
from generator.curation.card import USES
from generator.curation.folder import RejectedFile
from generator.dataset.read import read_dataset
from generator.dataset.rows import InstanceRow, PersonRow, PlaceRow, ReferenceRow
from generator.frozen_set import copy_media
from generator.media.formats import MediaError, RejectReason
from generator.media.video import probe


@dataclass
class DatasetReport:
    """What an import came to; nothing that was left out is missing from it.

    `new` and `known` count rows per table, `refused` people whose consent has ended or who refuse every use.
    `not_read` names instances that are here now, but whose prompts a model here would not read whole: a copy
    of a dataset is the same dataset, and rounds leave them out until somebody edits them.
    """

    content_hash: str
    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    left_out: list[RejectedFile] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)


def import_dataset(folder: Path, *, on_row: Callable[[], object] = lambda: None) -> DatasetReport:
    """Take over what `export_dataset` wrote. Safe to stop and to repeat: what is there already stays.

    Raises:
        ValueError: no dataset, or one whose tables are not as they were written.
    """
    dataset = read_dataset(folder)
    report = DatasetReport(dataset.manifest.content_hash)
    # People are few beside their media: only they are held in memory.
    groups = {(row.source, row.person): _take_person(row, report, on_row) for row in dataset.people()}
    for reference in dataset.references():
        if group := groups.get((reference.source, reference.person)):
            _take_reference(group, reference, report)
        on_row()
    readers = readers_in_use()
    for instance in dataset.instances():
        if group := groups.get((instance.source, instance.person)):
            _take_instance(group, instance, report, readers)
        on_row()
    return report


def _take_person(row: PersonRow, report: DatasetReport, on_row: Callable[[], object]) -> IdentityGroup | None:
    on_row()
    if row.consent == () or (row.consent_expires_on is not None and row.consent_expires_on < today()):
        report.refused += 1
        return None
    stated: dict[str, Any] = {name: getattr(row, name) for name in ("split", "licence", "consent_expires_on")}
    group = _person_here(row)
    created = group is None
    if group is None:
        kept = {"pseudonym": row.person} if is_pseudonym(row.person) else {}
        group = IdentityGroup.objects.create(
            source=row.source,
            name=row.person,
            truth=row.truth,
            consent_note=row.consent_note,
            **stated,
            **kept,
        )
        record_event("import_identity", group, split=group.split)
    uses = USES if row.consent is None and row.truth is not None else row.consent
    if uses is not None:
        ends_on = row.consent_expires_on
        state_consent(group, uses, f"dataset {report.content_hash[:16]}", consent_expires_on=ends_on)
        group.refresh_from_db()
        stated["consent_uses"] = list(uses)
    for name, value in stated.items():
        if getattr(group, name) != value:
            detail = f"has {name} {getattr(group, name)!r} here and {value!r} in the dataset; make them agree"
            report.left_out.append(RejectedFile(f"{row.source}/{row.person}", RejectReason.BAD_CARD, detail))
            return None
    (report.new if created else report.known)["people"] += 1
    return group


def _person_here(row: PersonRow) -> IdentityGroup | None:
    """Whom the row means, where they are known here: by pseudonym, or in sets of format 1 by name."""
    theirs = IdentityGroup.objects.filter(source=row.source)
    return theirs.filter(pseudonym=row.person).first() or theirs.filter(name=row.person).first()


def _take_reference(group: IdentityGroup, row: ReferenceRow, report: DatasetReport) -> None:
    if group.references.filter(sha256=row.file.sha256).exists():
        report.known["references"] += 1
        return
    if group.references.filter(source_sha256=row.source_sha256, shot=row.shot).exists():
        detail = f"is here already as another file, made from the same {row.source_name}"
        report.left_out.append(RejectedFile(row.file.name, RejectReason.DUPLICATE, detail))
        return
    folder = f"references/{uuid4().hex}"
    try:
        values = _store_media(row, folder)
    except MediaError as problem:
        site_storage().remove_folder(folder)
        report.left_out.append(RejectedFile(row.file.name, problem.reason, problem.detail))
        return
    reference = Reference.objects.create(
        group=group,
        kind=row.kind,
        source_name=row.source_name,
        source_sha256=row.source_sha256,
        shot=row.shot,
        sha256=row.file.sha256,
        # Only references that passed are ever exported.
        curation=Curation.DONE,
        elements=row.elements,
        facts=row.facts,
        boxes=row.boxes,
        quality=row.quality,
        **values,
    )
    if row.is_primary and group.primary is None:
        group.primary = reference
        group.save(update_fields=["primary"])
    report.new["references"] += 1


def _store_media(row: ReferenceRow, folder: str) -> dict[str, Any]:
    """Copy a reference's files as they are, and check that they are what the row says.

    Raises:
        MediaError: they are missing, altered or not readable.
    """
    path = f"{folder}/media{row.file.path.suffix}"
    storage = site_storage()
    with storage.writing(path) as file:
        copy_media(row.file, file)
        facts = probe(file)
        if (facts.width, facts.height, facts.num_frames) != (row.width, row.height, row.num_frames):
            size = f"{facts.num_frames} frames of {facts.width}x{facts.height}"
            raise MediaError(RejectReason.ALTERED, f"has {size}, not what the dataset says")
        if row.annotation is not None:
            with storage.writing(f"{folder}/{ANNOTATION_NAME}") as annotation:
                copy_media(row.annotation, annotation)
                _expect_annotation(annotation, row)
        return media_columns(Path(path), file, facts) | {"fps": row.fps}


def _expect_annotation(path: Path, row: ReferenceRow) -> None:
    try:
        annotation = load_annotation(path)
    except ValueError as error:
        raise MediaError(RejectReason.UNREADABLE, str(error)) from None
    if annotation.sha256 != row.file.sha256:
        raise MediaError(RejectReason.ALTERED, f"the annotation is of {annotation.sha256[:12]}, another file")


def _take_instance(group: IdentityGroup, row: InstanceRow, report: DatasetReport, readers: Readers) -> None:
    if Instance.objects.filter(digest=row.instance_id).exists():
        report.known["instances"] += 1
        return
    names = [place.reference for place in row.references] + ([row.target.sha256] if row.target else [])
    references = {item.sha256: item for item in group.references.filter(sha256__in=names)}
    if missing := set(names) - references.keys():
        detail = f"reference {min(missing)} of {group} is not here"
        report.left_out.append(RejectedFile(row.instance_id, RejectReason.MISSING, detail))
        return
    try:
        places = [_take_place(references[place.reference], place) for place in row.references]
    except MediaError as problem:
        report.left_out.append(RejectedFile(row.instance_id, problem.reason, problem.detail))
        return
    if row.target is not None:
        places.append(InstanceReference(reference=references[row.target.sha256]))
    _store_instance(group, row, places)
    report.new["instances"] += 1
    if unread := "; ".join(filter(None, readers.look_at(row.prompts[-1].text))):
        report.not_read.append(f"{row.instance_id[:12]} of {group}: {unread}")


def _take_place(reference: Reference, row: PlaceRow) -> InstanceReference:
    """A place with its crop, if it shows one, stored beside the reference."""
    if row.recipe is None:
        return InstanceReference(reference=reference)
    path = crop_path(reference, row.recipe)
    with site_storage().writing(str(path)) as file:
        copy_media(row.file, file)
        store_poster(path.with_suffix(".jpg"), file)
    return InstanceReference(reference=reference, **crop_columns(row.recipe, path, row.file.sha256))


@transaction.atomic
def _store_instance(group: IdentityGroup, row: InstanceRow, places: list[InstanceReference]) -> None:
    prompt = None
    for version in row.prompts:
        prompt = DifferentialPrompt.objects.create(
            text=version.text,
            elements=[asdict(change) for change in version.elements],
            method=version.method,
            supersedes=prompt,
        )
    assert prompt is not None
    instance = Instance.objects.create(group=group, prompt=prompt, digest=row.instance_id)
    for position, place in enumerate(places):
        place.instance = instance
        place.position = position if position < len(row.references) else None
    InstanceReference.objects.bulk_create(places)
