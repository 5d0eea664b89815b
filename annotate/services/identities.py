"""Stage 1: import people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from annotate.models import IdentityGroup, Reference
from annotate.services.audit import record_event
from generator.curation.folder import Person, PersonFile, RejectedFile, scan_people
from generator.media import MediaError, RejectReason
from generator.video import normalise, read_clip, write_poster

Follow = Callable[[Iterable[Person | RejectedFile]], Iterable[Person | RejectedFile]]


@dataclass
class ImportReport:
    """What an import found; nothing that was rejected is missing from it."""

    num_people: int = 0
    num_new: int = 0
    num_known: int = 0
    rejected: list[RejectedFile] = field(default_factory=list)


def import_people(
    root: Path, *, source: str, licence: str = "", split: str = "train", follow: Follow = iter
) -> ImportReport:
    """Import a folder of people. Safe to stop and to repeat: a file of a person is stored once.

    Args:
        root: one sub-folder a person.
        source: where the media come from; together with the folder's name it names a person.
        licence: for people whose own `identity.json` does not state one.
        split: likewise.
        follow: wraps the people as they come, for a progress bar.

    Raises:
        ValueError: the folder is missing or empty.
    """
    report = ImportReport()
    for person in follow(scan_people(root)):
        if isinstance(person, RejectedFile):
            report.rejected.append(person)
            continue
        report.rejected.extend(person.rejected)
        if person.files:
            _import_person(person, source, licence, split, report)
    return report


def _import_person(person: Person, source: str, licence: str, split: str, report: ImportReport) -> None:
    card = person.card
    group, created = IdentityGroup.objects.get_or_create(
        source=card.source or source,
        name=person.name,
        defaults={
            "licence": card.licence or licence,
            "consent_scope": card.consent_scope,
            "consent_expires_on": card.consent_expires_on,
            "split": card.split or split,
            "truth": dict(card.truth) if card.truth is not None else None,
        },
    )
    if created:
        record_event("import_identity", group, split=group.split)
    elif group.split != (card.split or split):
        detail = f"is in split {group.split} already, and a person is in one split only"
        report.rejected.append(RejectedFile(person.name, RejectReason.BAD_CARD, detail))
        return
    known = set(group.references.values_list("source_sha256", flat=True))
    report.num_people += 1
    for file in person.files:
        if file.facts.sha256 in known:
            report.num_known += 1
            continue
        try:
            _import_file(group, file)
        except MediaError as problem:
            report.rejected.append(RejectedFile(f"{person.name}/{file.name}", problem.reason, problem.detail))
        else:
            report.num_new += 1


def _import_file(group: IdentityGroup, file: PersonFile) -> None:
    """Store a normalised copy first and its row second, so that a row never names a missing file."""
    # A random name: neither a page nor an address can tell whose file it is, or what it was called.
    folder = Path("references") / uuid4().hex
    (settings.STORAGE_ROOT / folder).mkdir(parents=True)
    path = folder / f"media{file.facts.normal_suffix}"
    facts = normalise(file.path, settings.STORAGE_ROOT / path)
    poster = folder / "poster.jpg"
    write_poster(
        settings.STORAGE_ROOT / poster, read_clip(settings.STORAGE_ROOT / path, max_frames=1).frames[0]
    )
    Reference.objects.get_or_create(
        group=group,
        source_sha256=file.facts.sha256,
        defaults={
            "kind": file.kind,
            "source_name": file.name,
            "path": str(path),
            "sha256": facts.sha256,
            "poster": str(poster),
            "width": facts.width,
            "height": facts.height,
            "num_frames": facts.num_frames,
            "fps": facts.fps,
            "size_bytes": facts.size_bytes,
            "facts": {name: value for name, value in asdict(file.facts).items() if name != "sha256"},
            "elements": dict(file.elements) if file.elements else None,
        },
    )
