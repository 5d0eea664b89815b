from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from PIL import Image

from generator.curation.folder import Person, RejectedFile, scan_people
from generator.media.formats import MediaLimits, RejectReason
from generator.records import ELEMENTS, ReferenceKind
from tests.generator.media.media_files import MediaMaker


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    folder.mkdir()
    return folder


@pytest.fixture
def ada(root: Path) -> MediaMaker:
    """One person's folder with a readable clip and photo."""
    (root / "ada").mkdir()
    person = MediaMaker(root / "ada")
    person.clip("clip.mp4")
    person.photo("photo.png")
    return person


def only_person(root: Path) -> Person:
    (person,) = scan_people(root)
    assert isinstance(person, Person)
    return person


def reasons(person: Person) -> dict[str, str]:
    return {item.path.removeprefix(f"{person.name}/"): item.reason for item in person.rejected}


def test_it_reads_people_in_the_order_of_their_names(ada: MediaMaker, root: Path) -> None:
    (root / "Zoe").mkdir()
    MediaMaker(root / "Zoe").photo("photo.jpg")
    people = list(scan_people(root))
    assert [person.name for person in people if isinstance(person, Person)] == ["Zoe", "ada"]


def test_it_reads_every_supported_format(root: Path) -> None:
    (root / "ada").mkdir()
    person = MediaMaker(root / "ada")
    for index, name in enumerate(["a.jpg", "b.jpeg", "c.png"]):
        person.photo(name, grey=50 + index)
    Image.open(person.photo("d.png", grey=90)).save(root / "ada" / "d.webp")
    (root / "ada" / "d.png").unlink()
    person.encoded("e.mp4")
    person.encoded("f.mov", codec="mpeg4")
    person.encoded("g.mkv")
    person.encoded("h.webm", codec="libvpx-vp9")
    person = only_person(root)
    assert person.rejected == ()
    assert {file.name: file.kind for file in person.files} == dict.fromkeys(
        ["a.jpg", "b.jpeg", "c.png", "d.webp"], ReferenceKind.PHOTO
    ) | dict.fromkeys(["e.mp4", "f.mov", "g.mkv", "h.webm"], ReferenceKind.CLIP)
    assert {file.facts.num_frames for file in person.files if file.kind is ReferenceKind.CLIP} == {12}


def test_it_gives_a_reason_for_every_trap_and_keeps_the_rest(ada: MediaMaker, root: Path) -> None:
    ada.bytes("empty.jpg", b"")
    ada.bytes("page.png", b"<!doctype html><script>alert(1)</script>")
    ada.bytes("drawing.png", b"<?xml version='1.0'?><svg onload='alert(1)'/>")
    ada.bytes("list.mp4", b"#EXTM3U\n/etc/passwd\n")
    ada.bytes("notes.txt", b"taken in June")
    ada.audio_only("speech.mp4")
    ada.wide_png(30_000, 20_000, "wide.png")
    ada.bytes("tiny.png", (ada.folder / "photo.png").read_bytes())
    ada.clip("blink.mp4", num_frames=4)
    ada.truncated(ada.encoded("whole.mp4"), 0.5, "half.mp4")
    ada.bytes(".DS_Store", b"\0\0\0\1Bud1")
    person = only_person(root)
    assert reasons(person) == {
        "empty.jpg": "unreadable",
        "page.png": "unsafe",
        "drawing.png": "unsafe",
        "list.mp4": "unsafe",
        "notes.txt": "unsupported",
        "speech.mp4": "unsupported",
        "wide.png": "too_large",
        "tiny.png": "duplicate",
        "blink.mp4": "too_short",
        "half.mp4": "unreadable",
        ".DS_Store": "hidden",
    }
    assert [file.name for file in person.files] == ["clip.mp4", "photo.png", "whole.mp4"]
    assert all("\n" not in item.detail and str(root) not in item.detail for item in person.rejected)


def test_it_takes_a_clip_called_photo_as_a_clip(ada: MediaMaker, root: Path) -> None:
    (ada.folder / "clip.mp4").rename(ada.folder / "clip.jpg")
    assert [(file.name, file.kind) for file in only_person(root).files] == [
        ("clip.jpg", ReferenceKind.CLIP),
        ("photo.png", ReferenceKind.PHOTO),
    ]


def test_it_follows_no_link_out_of_the_folder(ada: MediaMaker, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = MediaMaker(elsewhere).photo("outside.png", grey=99)
    (ada.folder / "out.png").symlink_to(outside)
    (ada.folder / "up.png").symlink_to(Path("..") / ".." / "elsewhere" / "outside.png")
    (ada.folder / "within.png").symlink_to("photo.png")
    (ada.folder / "broken.png").symlink_to("nothing.png")
    (ada.folder / "folder").symlink_to(elsewhere)
    (root / "linked").symlink_to(elsewhere)
    person, linked = scan_people(root)
    assert isinstance(person, Person)
    assert reasons(person) == {
        "out.png": "unsafe",
        "up.png": "unsafe",
        "within.png": "duplicate",
        "broken.png": "unreadable",
        "folder": "unsafe",
    }
    assert linked == RejectedFile("linked", RejectReason.UNSAFE, "is a link; put the folder itself here")


def test_it_never_waits_at_a_pipe(ada: MediaMaker, root: Path) -> None:
    os.mkfifo(ada.folder / "pipe.mp4")
    people: list[Person] = []
    thread = threading.Thread(target=lambda: people.append(only_person(root)), daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert reasons(people[0]) == {"pipe.mp4": "unsafe"}


def test_it_keeps_files_whose_names_differ_only_in_case(ada: MediaMaker, root: Path) -> None:
    ada.photo("Photo.png", grey=200)
    assert [file.name for file in only_person(root).files] == ["Photo.png", "clip.mp4", "photo.png"]


def test_it_refuses_people_whose_names_differ_only_in_case(ada: MediaMaker, root: Path) -> None:
    shutil.copytree(ada.folder, root / "Ada")
    shutil.copytree(ada.folder, root / "Jose\u0301")
    shutil.copytree(ada.folder, root / "Jos\u00e9")
    scanned = list(scan_people(root))
    assert [person.name for person in scanned if isinstance(person, Person)] == ["Ada", "Jose\u0301"]
    assert {item.path: item.reason for item in scanned if isinstance(item, RejectedFile)} == {
        "ada": RejectReason.BAD_NAME,
        "Jos\u00e9": RejectReason.BAD_NAME,
    }


def test_it_refuses_names_it_could_not_write_down(ada: MediaMaker, root: Path) -> None:
    source = (ada.folder / "photo.png").read_bytes()
    with open(os.path.join(os.fsencode(ada.folder), b"caf\xe9.png"), "wb") as file:
        file.write(source)
    ada.bytes("two\nlines.png", source)
    assert {item.path: item.reason for item in only_person(root).rejected} == {
        "ada/caf\\udce9.png": RejectReason.BAD_NAME,
        "ada/two\\nlines.png": RejectReason.DUPLICATE,
    }


def test_it_lists_what_lies_in_the_wrong_place(ada: MediaMaker, root: Path) -> None:
    MediaMaker(root).photo("stray.png")
    (ada.folder / "2024" / "june").mkdir(parents=True)
    MediaMaker(ada.folder / "2024" / "june").photo("deep.png")
    (ada.folder / "nothing").mkdir()
    (root / ".git").mkdir()
    hidden, person, stray = scan_people(root)
    assert isinstance(person, Person)
    assert reasons(person) == {"2024/june/deep.png": "misplaced", "nothing": "misplaced"}
    assert isinstance(stray, RejectedFile)
    assert (stray.path, stray.reason) == ("stray.png", "misplaced")
    assert isinstance(hidden, RejectedFile)
    assert (hidden.path, hidden.reason) == (".git", "hidden")


def test_it_reports_a_person_with_nothing_readable(root: Path) -> None:
    (root / "nobody").mkdir()
    person = only_person(root)
    assert person.files == ()
    assert person.rejected == (
        RejectedFile("nobody", RejectReason.MISSING, "holds no readable photo or clip"),
    )


def test_it_says_at_once_that_there_are_no_people(root: Path) -> None:
    with pytest.raises(ValueError, match="is empty; put a sub-folder for each person in it"):
        scan_people(root)
    with pytest.raises(ValueError, match="is not a folder"):
        scan_people(root / "missing")


def test_it_holds_to_the_limits_it_is_given(ada: MediaMaker, root: Path) -> None:
    (person,) = scan_people(root, MediaLimits(max_frames=5))
    assert isinstance(person, Person)
    assert reasons(person) == {"clip.mp4": "too_large"}


def test_it_reads_the_card_of_a_person(ada: MediaMaker, root: Path) -> None:
    elements = {element: f"some {element}" for element in ELEMENTS}
    card = {
        "source": "portraits",
        "licence": "CC0-1.0",
        "consent": ["train", "show"],
        "consent_note": "form 7",
        "consent_expires_on": "2030-12-31",
        "split": "eval",
        "truth": {"identity_seed": 7},
        "files": {
            "clip.mp4": {"kind": "clip", "elements": elements},
            "photo.png": {"kind": "half_body"},
            "gone.png": {},
        },
    }
    ada.bytes("identity.json", json.dumps(card).encode())
    person = only_person(root)
    clip, photo = person.files
    assert (clip.kind, clip.elements) == (ReferenceKind.CLIP, elements)
    assert (photo.kind, photo.elements) == (ReferenceKind.HALF_BODY, None)
    assert (person.card.source, person.card.split, person.card.truth) == (
        "portraits",
        "eval",
        {"identity_seed": 7},
    )
    assert (person.card.consent, person.card.consent_note) == (("show", "train"), "form 7")
    assert str(person.card.consent_expires_on) == "2030-12-31"
    assert reasons(person) == {"gone.png": "missing"}


def test_it_refuses_a_file_whose_card_calls_it_something_else(ada: MediaMaker, root: Path) -> None:
    ada.bytes("identity.json", json.dumps({"files": {"clip.mp4": {"kind": "half_body"}}}).encode())
    person = only_person(root)
    assert reasons(person) == {"clip.mp4": "bad_card"}
    assert [file.name for file in person.files] == ["photo.png"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "is not valid JSON"),
        (b"[]", "it is []; it must be a JSON object"),
        (b"\xff\xfe", "is not valid JSON"),
        (b'{"truth": {"a": NaN}}', "NaN is no JSON number"),
        (b"[" * 100_000, "nested too deeply"),
        (
            b'{"license": "MIT"}',
            "is no card of a person: has an unknown field 'license'; known are source, licence",
        ),
        (b'{"split": "test"}', "split is 'test'; it must be one of train, eval, benchmark"),
        (b'{"source": 3}', "source is 3; it must be a text"),
        (b'{"consent": ["shwo"]}', "has consent to 'shwo'; the uses are show, train, evaluate, publish"),
        (b'{"consent": "show"}', "consent is 'show'; it must be a list"),
        (b'{"consent_note": "' + b"x" * 201 + b'"}', "it must be a text of at most 200 characters"),
        (b'{"consent_expires_on": "soon"}', "consent_expires_on is 'soon'; it must be a day"),
        (b'{"truth": 1}', "truth is 1; it must be a JSON object"),
        (
            b'{"files": {"a.png": {"kind": "statue"}}}',
            "files.a.png.kind is 'statue'; it must be one of photo",
        ),
        (
            b'{"files": {"a.png": {"elements": {"action": "waving"}}}}',
            "files.a.png.elements: must have all seven elements",
        ),
    ],
)
def test_it_skips_a_person_whose_card_is_wrong(
    ada: MediaMaker, root: Path, content: bytes, detail: str
) -> None:
    ada.bytes("identity.json", content)
    person = only_person(root)
    assert person.files == ()
    (problem,) = person.rejected
    assert (problem.path, problem.reason) == ("ada/identity.json", RejectReason.BAD_CARD)
    assert detail in problem.detail
    assert problem.detail.endswith("the person is skipped until it is right")


def test_it_trusts_no_card_from_elsewhere(ada: MediaMaker, root: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    (ada.folder / "identity.json").symlink_to(tmp_path / "other.json")
    assert reasons(only_person(root)) == {"identity.json": "bad_card"}
