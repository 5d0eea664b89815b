"""Stage 1, first half: import people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, transaction

from annotate.core.audit import record_event
from annotate.models import IdentityGroup, Reference
from annotate.people.people import PORTRAIT_WORLD, state_consent
from annotate.storage.opening import site_storage
from generator.curation.card import CARD_NAME, USES, IdentityCard
from generator.curation.folder import Person, PersonFile, RejectedFile, scan_people
from generator.curation.shots import SHOT_SIDE, find_shots
from generator.media.decoder import VideoDecoder
from generator.media.formats import MediaError, MediaFacts, MediaFormat, MediaLimits, RejectReason
from generator.media.normalise import normalise, normalise_shots
from generator.media.photo import write_photo
from generator.media.video import fit, read_clip

Follow = Callable[[Iterable[Person | RejectedFile]], Iterable[Person | RejectedFile]]


@dataclass
class ImportReport:
    """What an import came to; nothing that was rejected is missing from it.

    `people` are the rows of those with readable files, `num_new` references (a file with cuts gives one per
    shot), `num_known` files that were imported earlier.
    """

    people: list[int] = field(default_factory=list)
    num_new: int = 0
    num_known: int = 0
    rejected: list[RejectedFile] = field(default_factory=list)
    without_consent: list[str] = field(default_factory=list)

    @property
    def num_people(self) -> int:
        return len(self.people)


def import_people(
    root: Path,
    *,
    source: str,
    licence: str = "",
    split: str = "train",
    consent: Sequence[str] | None = None,
    follow: Follow = iter,
) -> ImportReport:
    """Import a folder with a sub-folder per person. Safe to stop and to repeat: a file is stored once.

    The source and the folder's name together name a person. Licence, split and the uses that people agreed to
    (None leaves them unknown) are for those whose own `identity.json` does not state them. `follow` wraps the
    people as they come, for a progress bar.

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
            group = _import_person(person, source, licence, split, report)
            if group is not None:
                _take_consent(group, person.card, consent, report)
                _import_files(group, person, report)
    return report


def _import_person(
    person: Person, source: str, licence: str, split: str, report: ImportReport
) -> IdentityGroup | None:
    """The person's row; None where it is in another split."""
    card = person.card
    group, created = IdentityGroup.objects.get_or_create(
        source=card.source or source,
        name=person.name,
        defaults={
            "licence": card.licence or licence,
            "consent_expires_on": card.consent_expires_on,
            "consent_note": card.consent_note,
            "split": card.split or split,
            "truth": dict(card.truth) if card.truth is not None else None,
        },
    )
    if created:
        record_event("import_identity", group, split=group.split)
    elif group.split != (card.split or split):
        detail = f"is in split {group.split} already, and a person is in one split only"
        report.rejected.append(RejectedFile(person.name, RejectReason.BAD_CARD, detail))
        return None
    return group


def _take_consent(
    group: IdentityGroup, card: IdentityCard, consent: Sequence[str] | None, report: ImportReport
) -> None:
    """State what the card says, or else whoever imports; what was stated before stands."""
    uses, source = card.consent, CARD_NAME
    if uses is None and group.is_synthetic:
        uses, source = USES, PORTRAIT_WORLD
    elif uses is None and consent is not None:
        uses, source = tuple(consent), "import_identities --consent"
    if uses is None:
        if group.consent_uses is None:
            report.without_consent.append(group.name)
        return
    ends = {"consent_expires_on": card.consent_expires_on} if card.consent_expires_on else {}
    if state_consent(group, uses, source, **ends):
        return
    if card.consent is not None and set(card.consent) != set(group.consent_uses or ()):
        here, there = (", ".join(uses) or "none" for uses in (group.consent_uses or (), card.consent))
        detail = f"has consent to {here} here and to {there} in {CARD_NAME}; what was stated first stands"
        report.rejected.append(
            RejectedFile(group.name, RejectReason.BAD_CARD, f"{detail}, correct it on the person's page")
        )


def _import_files(group: IdentityGroup, person: Person, report: ImportReport) -> None:
    known = set(group.references.values_list("source_sha256", flat=True))
    report.people.append(group.pk)
    for file in person.files:
        if file.facts.sha256 in known:
            report.num_known += 1
            continue
        try:
            report.num_new += _import_file(group, file)
        except MediaError as problem:
            report.rejected.append(RejectedFile(f"{person.name}/{file.name}", problem.reason, problem.detail))


def _import_file(group: IdentityGroup, file: PersonFile) -> int:
    """Store a file's normalised copy, one a shot, and then the rows: a row never names a missing file.

    Raises:
        MediaError: not readable to its end, or the same as another reference of this person once stored.
    """
    shots = _store_shots(file, has_cuts=not group.is_synthetic)
    references = [
        Reference(
            group=group,
            kind=file.kind,
            source_name=file.name,
            source_sha256=file.facts.sha256,
            shot=number,
            **columns,
            facts={name: value for name, value in asdict(file.facts).items() if name != "sha256"},
            elements=dict(file.elements) if file.elements else None,
        )
        for number, columns in enumerate(shots)
    ]
    try:
        with transaction.atomic():
            Reference.objects.bulk_create(references)
    except IntegrityError:
        for columns in shots:
            site_storage().remove_folder(str(Path(columns["path"]).parent))
        twins = group.references.filter(sha256__in=[columns["sha256"] for columns in shots])
        names = ", ".join(twins.values_list("source_name", flat=True)) or file.name
        raise MediaError(RejectReason.DUPLICATE, f"shows the same as {names}, pixel by pixel") from None
    return len(references)


def _store_shots(file: PersonFile, *, has_cuts: bool) -> list[dict[str, Any]]:
    """Store the normalised file, or where it has cuts each of its shots; returns columns of their rows."""
    with site_storage().workspace() as folder:
        whole = folder / f"media{file.facts.normal_suffix}"
        facts = normalise(file.path, whole)
        shots = _shots(whole) if file.kind.is_clip and has_cuts else ()
        if len(shots) < 2:
            return [_store_shot(whole, facts)]
        targets = [(folder / f"{number}.mp4", end - start) for number, (start, end) in enumerate(shots)]
        copies = normalise_shots(file.path, targets)
        return [_store_shot(place, facts) for (place, _), facts in zip(targets, copies, strict=True)]


def _shots(clip: Path) -> tuple[tuple[int, int], ...]:
    with VideoDecoder(clip, MediaFormat.MOV, MediaLimits()) as decoder:
        return find_shots(decoder.upright_rgb(frame, fit(decoder.size, SHOT_SIDE)) for frame in decoder)


def _store_shot(file: Path, facts: MediaFacts) -> dict[str, Any]:
    """Under a random name: no page or address tells whose it is."""
    path = Path("references") / uuid4().hex / f"media{file.suffix}"
    site_storage().put(str(path), file)
    return {"sha256": facts.sha256, **media_columns(path, file, facts)}


def media_columns(path: Path, file: Path, facts: MediaFacts) -> dict[str, Any]:
    """Columns of a reference that say where its file lies and how large it is. Its poster is stored, too."""
    poster = path.with_name("poster.jpg")
    store_poster(poster, file)
    sizes = {name: getattr(facts, name) for name in ("width", "height", "num_frames", "fps", "size_bytes")}
    return {"path": str(path), "poster": str(poster), **sizes}


def store_poster(path: Path, file: Path) -> None:
    with site_storage().writing(str(path)) as poster:
        write_photo(poster, read_clip(file, max_frames=1).frames[0])
