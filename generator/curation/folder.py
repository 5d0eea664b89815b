"""A folder of people: one sub-folder a person, any mix of photos and clips.

Nothing is passed over in silence: whatever lies in the folder is either a readable file of a person, or is
listed with the reason why it is not used. What a file is, its content decides; names matter only to people.
Two names that differ only in case are two files, but two such folders are refused as one person too many.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.curation.card import CARD_NAME, IdentityCard, read_card
from generator.media.formats import MediaError, MediaFacts, MediaKind, MediaLimits, RejectReason
from generator.media.video import probe
from generator.records import ReferenceKind

#: A clip of a person needs a few frames to show how they move.
IMPORT_LIMITS = MediaLimits(min_frames=5)

_MAX_NAME = 200


@dataclass(frozen=True)
class PersonFile:
    """One readable file of a person."""

    name: str  # file name within the person's folder
    path: Path
    kind: ReferenceKind  # modality; a still is a `photo` unless the card says `half_body`
    facts: MediaFacts
    elements: Mapping[str, str] | None = None  # the card's description of the seven elements, if any


@dataclass(frozen=True)
class RejectedFile:
    """One file, link or folder that is not used."""

    path: str  # relative to the folder of people, with characters that do not print escaped
    reason: RejectReason  # for counting
    detail: str  # one line for a person


@dataclass(frozen=True)
class Person:
    """One sub-folder."""

    name: str
    card: IdentityCard  # from `identity.json`; empty where there is none
    files: tuple[PersonFile, ...]  # what can be used, by name; empty where nothing can
    rejected: tuple[RejectedFile, ...]  # what cannot


def scan_people(root: Path | str, limits: MediaLimits = IMPORT_LIMITS) -> Iterator[Person | RejectedFile]:
    """Read a folder of people, one at a time, in the order of their names.

    Args:
        root: the folder of people.
        limits: what one file may cost.

    Yields:
        A `Person` for every sub-folder, readable or not, and a `RejectedFile` for whatever else is there.

    Raises:
        ValueError: `root` is no folder, or an empty one; raised at once, not at the first person.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; give one with a sub-folder for each person")
    entries = sorted(root.iterdir(), key=lambda entry: entry.name)
    if not entries:
        raise ValueError(f"{root} is empty; put a sub-folder for each person in it")
    return _scan_entries(root.resolve(), entries, limits)


def _scan_entries(root: Path, entries: list[Path], limits: MediaLimits) -> Iterator[Person | RejectedFile]:
    first_names: dict[str, str] = {}
    for name in (entry.name for entry in entries):
        entry = root / name
        if problem := _name_problem(name):
            yield _rejected(root, entry, problem)
        elif entry.is_symlink():
            yield _rejected(
                root, entry, MediaError(RejectReason.UNSAFE, "is a link; put the folder itself here")
            )
        elif not entry.is_dir():
            detail = "lies beside the people; put it in the sub-folder of a person"
            yield _rejected(root, entry, MediaError(RejectReason.MISPLACED, detail))
        elif (first := first_names.setdefault(_folded(name), name)) != name:
            detail = f"has the name of {first} but for case or accents' encoding; merge the two or rename one"
            yield _rejected(root, entry, MediaError(RejectReason.BAD_NAME, detail))
        else:
            yield _scan_person(root, entry, limits)


def _scan_person(root: Path, folder: Path, limits: MediaLimits) -> Person:
    try:
        card = _read_own_card(folder)
    except (OSError, ValueError) as error:
        problem = MediaError(RejectReason.BAD_CARD, f"{error}; the person is skipped until it is right")
        return Person(folder.name, IdentityCard(), (), (_rejected(root, folder / CARD_NAME, problem),))
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        problem = MediaError(RejectReason.UNREADABLE, f"cannot be listed: {error.strerror}")
        return Person(folder.name, card, (), (_rejected(root, folder, problem),))
    files, rejected = _read_entries(root, entries, card, limits)
    present = {entry.name for entry in entries}
    for name in sorted(card.files.keys() - present):
        missing = MediaError(RejectReason.MISSING, f"is named in {CARD_NAME} but is not there")
        rejected.append(_rejected(root, folder / name, missing))
    if not files:
        empty = MediaError(RejectReason.MISSING, "holds no readable photo or clip")
        rejected.append(_rejected(root, folder, empty))
    return Person(folder.name, card, tuple(files), tuple(rejected))


def _read_entries(
    root: Path, entries: Sequence[Path], card: IdentityCard, limits: MediaLimits
) -> tuple[list[PersonFile], list[RejectedFile]]:
    files: dict[str, PersonFile] = {}
    rejected: list[RejectedFile] = []
    for entry in entries:
        if entry.name == CARD_NAME:
            continue
        if entry.is_dir() and not entry.is_symlink():
            rejected.extend(_reject_nested(root, entry))
            continue
        try:
            file = _read_file(entry, card, limits)
            if (known := files.setdefault(file.facts.sha256, file)) is not file:
                raise MediaError(RejectReason.DUPLICATE, f"has the same bytes as {known.name}")
        except MediaError as problem:
            rejected.append(_rejected(root, entry, problem))
    return list(files.values()), rejected


def _read_own_card(folder: Path) -> IdentityCard:
    path = folder / CARD_NAME
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError("is no regular file")
    return read_card(path)


def _read_file(path: Path, card: IdentityCard, limits: MediaLimits) -> PersonFile:
    """Probe one entry of a person's folder.

    Raises:
        MediaError: why it is not used.
    """
    if problem := _name_problem(path.name):
        raise problem
    try:
        if not path.resolve(strict=True).is_relative_to(path.parent):
            raise MediaError(RejectReason.UNSAFE, "is a link out of the person's folder")
        if not path.is_file():
            raise MediaError(RejectReason.UNSAFE, "is no regular file")
        facts = probe(path, limits=limits)
    except OSError as error:
        raise MediaError(RejectReason.UNREADABLE, f"cannot be opened: {error.strerror or error}") from None
    note = card.files.get(path.name)
    is_clip = facts.kind is MediaKind.VIDEO
    kind = (note and note.kind) or (ReferenceKind.CLIP if is_clip else ReferenceKind.PHOTO)
    if kind.is_clip != is_clip:
        raise MediaError(
            RejectReason.BAD_CARD, f"is called {kind} in {CARD_NAME}, but its content is {facts.kind}"
        )
    return PersonFile(path.name, path, kind, facts, note.elements if note else None)


def _reject_nested(root: Path, folder: Path) -> Iterator[RejectedFile]:
    """One line for every file below a sub-folder of a person; links are not followed."""
    is_empty = True
    for nested, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            is_empty = False
            problem = MediaError(RejectReason.MISPLACED, "lies too deep; move it up into the person's folder")
            yield _rejected(root, Path(nested, name), problem)
    if is_empty:
        yield _rejected(root, folder, MediaError(RejectReason.MISPLACED, "is a folder with no file"))


def _name_problem(name: str) -> MediaError | None:
    if name.startswith("."):
        return MediaError(RejectReason.HIDDEN, "is hidden; rename it if it is meant")
    if name != os.fsencode(name).decode("utf-8", "replace"):
        return MediaError(RejectReason.BAD_NAME, "has a name that is not UTF-8; rename it")
    if len(name) > _MAX_NAME:
        return MediaError(
            RejectReason.BAD_NAME, f"has a name of {len(name)} characters; {_MAX_NAME} are allowed"
        )
    return None


def _folded(name: str) -> str:
    """Equal for names that some file systems cannot tell apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _rejected(root: Path, path: Path, problem: MediaError) -> RejectedFile:
    shown = path.relative_to(root).as_posix()
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return RejectedFile(shown, problem.reason, problem.detail)
