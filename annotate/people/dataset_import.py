"""People, references and instances as a dataset: into the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from annotate.core.audit import record_events
from annotate.database.batches import batches
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
from annotate.people.people import state_consent, stated
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

Row = TypeVar("Row")

#: References that are read together: who is killed meanwhile leaves the files of so many without a row.
REFERENCES_AT_ONCE = 100


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

    def followed(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield row
            on_row()

    # People are few beside their media: only they are held in memory.
    groups: dict[tuple[str, str], IdentityGroup] = {}
    for people in batches(followed(dataset.people())):
        groups |= _take_people(people, report)
    for references in batches(followed(dataset.references()), REFERENCES_AT_ONCE):
        _take_references([(groups[key], row) for row in references if (key := _whose(row)) in groups], report)
    readers = readers_in_use()
    for instances in batches(followed(dataset.instances())):
        theirs = [(groups[key], row) for row in instances if (key := _whose(row)) in groups]
        _take_instances(theirs, report, readers)
    report.new = +report.new  # without the tables of which nothing is
    return report


def _whose(row: PersonRow | ReferenceRow | InstanceRow) -> tuple[str, str]:
    return row.source, row.person


def _take_people(rows: Sequence[PersonRow], report: DatasetReport) -> dict[tuple[str, str], IdentityGroup]:
    """Those of whom more is taken over."""
    ended = [
        row
        for row in rows
        if row.consent == () or (row.consent_expires_on is not None and row.consent_expires_on < today())
    ]
    report.refused += len(ended)
    wanted = [row for row in rows if row not in ended]
    here = _people_here(wanted)
    taken = _make_people([row for row in wanted if _whose(row) not in here], report)
    for row in wanted:
        if (group := here.get(_whose(row))) and _is_as_stated(group, row, report):
            taken[_whose(row)] = group
            report.known["people"] += 1
    return taken


def _people_here(rows: Sequence[PersonRow]) -> dict[tuple[str, str], IdentityGroup]:
    """Whom the rows mean, where they are known here: by pseudonym, or in sets of format 1 by name."""
    names = [row.person for row in rows]
    theirs = IdentityGroup.objects.filter(source__in={row.source for row in rows})
    found = list(theirs.filter(Q(pseudonym__in=names) | Q(name__in=names)))
    here = {(group.source, group.name): group for group in found}
    here |= {(group.source, group.pseudonym): group for group in found}
    return {_whose(row): here[_whose(row)] for row in rows if _whose(row) in here}


def _uses_of(row: PersonRow) -> tuple[str, ...] | None:
    return USES if row.consent is None and row.truth is not None else row.consent


@transaction.atomic
def _make_people(rows: Sequence[PersonRow], report: DatasetReport) -> dict[tuple[str, str], IdentityGroup]:
    source = f"dataset {report.content_hash[:16]}"
    made = IdentityGroup.objects.bulk_create(
        IdentityGroup(
            source=row.source,
            name=row.person,
            truth=row.truth,
            consent_note=row.consent_note,
            split=row.split,
            licence=row.licence,
            consent_expires_on=row.consent_expires_on,
            **({"pseudonym": row.person} if is_pseudonym(row.person) else {}),
            **(stated(uses, source) if (uses := _uses_of(row)) is not None else {}),
        )
        for row in rows
    )
    record_events("import_identity", [(group, {"split": group.split}) for group in made])
    known = [group for group in made if group.consent_uses is not None]
    record_events("state_consent", [(one, {"uses": one.consent_uses, "source": source}) for one in known])
    report.new["people"] += len(made)
    return {_whose(row): group for row, group in zip(rows, made, strict=True)}


def _is_as_stated(group: IdentityGroup, row: PersonRow, report: DatasetReport) -> bool:
    """Whether a person is here as the dataset has them; what nobody had stated here is taken over."""
    said: dict[str, Any] = {name: getattr(row, name) for name in ("split", "licence", "consent_expires_on")}
    if (uses := _uses_of(row)) is not None:
        if group.consent_uses is None:
            ends_on = row.consent_expires_on
            state_consent(group, uses, f"dataset {report.content_hash[:16]}", consent_expires_on=ends_on)
            group.refresh_from_db()
        said["consent_uses"] = list(uses)
    for name, value in said.items():
        if getattr(group, name) != value:
            detail = f"has {name} {getattr(group, name)!r} here and {value!r} in the dataset; make them agree"
            report.left_out.append(RejectedFile(f"{row.source}/{row.person}", RejectReason.BAD_CARD, detail))
            return False
    return True


def _take_references(rows: Sequence[tuple[IdentityGroup, ReferenceRow]], report: DatasetReport) -> None:
    alike = Q(sha256__in=[row.file.sha256 for _, row in rows])
    alike |= Q(source_sha256__in=[row.source_sha256 for _, row in rows])
    here = Reference.objects.filter(alike, group__in={group.pk for group, _ in rows})
    known = list(here.values_list("group_id", "sha256", "source_sha256", "shot"))
    files, shots = {item[:2] for item in known}, {(item[0], *item[2:]) for item in known}
    made: list[tuple[IdentityGroup, ReferenceRow, Reference]] = []
    try:
        for group, row in rows:
            file, shot = (group.pk, row.file.sha256), (group.pk, row.source_sha256, row.shot)
            if file in files:
                report.known["references"] += 1
            elif shot in shots:
                detail = f"is here already as another file, made from the same {row.source_name}"
                report.left_out.append(RejectedFile(row.file.name, RejectReason.DUPLICATE, detail))
            elif (reference := _read_reference(group, row, report)) is not None:
                files.add(file)
                shots.add(shot)
                made.append((group, row, reference))
        _store_references(made)
    except BaseException:
        _remove_files([reference.path for _, _, reference in made])
        raise
    report.new["references"] += len(made)


def _remove_files(paths: Sequence[str]) -> None:
    """Of references that did not come to have a row."""
    stored = set(Reference.objects.filter(path__in=paths).values_list("path", flat=True))
    for path in set(paths) - stored:
        site_storage().remove_folder(str(Path(path).parent))


@transaction.atomic
def _store_references(made: Sequence[tuple[IdentityGroup, ReferenceRow, Reference]]) -> None:
    Reference.objects.bulk_create(reference for _, _, reference in made)
    chosen = {}
    for group, row, reference in made:
        if row.is_primary and group.primary_id is None:
            group.primary = reference
            chosen[group.pk] = group
    IdentityGroup.objects.bulk_update(chosen.values(), ["primary"])


def _read_reference(group: IdentityGroup, row: ReferenceRow, report: DatasetReport) -> Reference | None:
    """A row whose files are stored; None where they are not what the dataset says."""
    folder = f"references/{uuid4().hex}"
    try:
        values = _store_media(row, folder)
    except MediaError as problem:
        site_storage().remove_folder(folder)
        report.left_out.append(RejectedFile(row.file.name, problem.reason, problem.detail))
        return None
    return Reference(
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


def _take_instances(
    rows: Sequence[tuple[IdentityGroup, InstanceRow]], report: DatasetReport, readers: Readers
) -> None:
    digests = [row.instance_id for _, row in rows]
    known = set(Instance.objects.filter(digest__in=digests).values_list("digest", flat=True))
    named = {name for _, row in rows for name in _references_of(row)}
    here = Reference.objects.filter(group__in={group.pk for group, _ in rows}, sha256__in=named)
    references = {(item.group_id, item.sha256): item for item in here}
    new = []
    for group, row in rows:
        if row.instance_id in known:
            report.known["instances"] += 1
        elif places := _read_places(group, row, references, report):
            new.append((group, row, places))
            if unread := "; ".join(filter(None, readers.look_at(row.prompts[-1].text))):
                report.not_read.append(f"{row.instance_id[:12]} of {group}: {unread}")
    _store_instances(new)
    report.new["instances"] += len(new)


def _references_of(row: InstanceRow) -> list[str]:
    return [place.reference for place in row.references] + ([row.target.sha256] if row.target else [])


def _read_places(
    group: IdentityGroup,
    row: InstanceRow,
    references: Mapping[tuple[int, str], Reference],
    report: DatasetReport,
) -> list[InstanceReference]:
    """What an instance shows, its files stored; nothing where something of it is missing."""
    if missing := [name for name in _references_of(row) if (group.pk, name) not in references]:
        detail = f"reference {min(missing)} of {group} is not here"
        report.left_out.append(RejectedFile(row.instance_id, RejectReason.MISSING, detail))
        return []
    try:
        places = [_take_place(references[group.pk, place.reference], place) for place in row.references]
    except MediaError as problem:
        report.left_out.append(RejectedFile(row.instance_id, problem.reason, problem.detail))
        return []
    if row.target is not None:
        places.append(InstanceReference(reference=references[group.pk, row.target.sha256]))
    return places


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
def _store_instances(new: Sequence[tuple[IdentityGroup, InstanceRow, list[InstanceReference]]]) -> None:
    prompts = _store_prompts([row for _, row, _ in new])
    instances = Instance.objects.bulk_create(
        Instance(group=group, prompt=prompt, digest=row.instance_id)
        for (group, row, _), prompt in zip(new, prompts, strict=True)
    )
    for instance, (_, row, places) in zip(instances, new, strict=True):
        for position, place in enumerate(places):
            place.instance = instance
            place.position = position if position < len(row.references) else None
    InstanceReference.objects.bulk_create(place for _, _, places in new for place in places)


def _store_prompts(rows: Sequence[InstanceRow]) -> list[DifferentialPrompt]:
    """The newest prompt of each; the first versions of all are stored before the second ones."""
    newest: list[DifferentialPrompt | None] = [None] * len(rows)
    for age in range(max((len(row.prompts) for row in rows), default=0)):
        having = [place for place, row in enumerate(rows) if age < len(row.prompts)]
        stored = DifferentialPrompt.objects.bulk_create(
            DifferentialPrompt(
                text=rows[place].prompts[age].text,
                elements=[asdict(change) for change in rows[place].prompts[age].elements],
                method=rows[place].prompts[age].method,
                supersedes=newest[place],
            )
            for place in having
        )
        for place, prompt in zip(having, stored, strict=True):
            newest[place] = prompt
    return [prompt for prompt in newest if prompt is not None]
