"""Import: everything readable is stored once, everything else has its reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from PIL import Image

from annotate.models import DifferentialPrompt, IdentityGroup, Reference
from annotate.people.identities import import_people
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.media.video import read_clip
from tests.factories import make_instance

pytestmark = pytest.mark.django_db

REALDATA = Path(settings.BASE_DIR).parent / "shared" / "realdata"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people: one with a clip, a photo and two files that cannot be used; one with a single clip."""
    for name, shade in (("mia", 40), ("tom", 90)):
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "clip.mp4", np.full((9, 64, 64, 3), shade, np.uint8), 8)
    write_photo(tmp_path / "mia" / "photo.png", np.full((80, 60, 3), 120, np.uint8))
    (tmp_path / "mia" / "empty.mp4").write_bytes(b"")
    (tmp_path / "mia" / "page.png").write_text("<svg onload='alert(1)'/>")
    return tmp_path


def test_it_imports_what_is_readable_and_lists_the_rest(people):
    report = import_people(people, source="tests", licence="CC0-1.0")
    assert (report.num_people, report.num_new, report.num_known) == (2, 3, 0)
    assert {(item.path, str(item.reason)) for item in report.rejected} == {
        ("mia/empty.mp4", "unreadable"),
        ("mia/page.png", "unsafe"),
    }
    clip = Reference.objects.get(group__name="mia", kind="clip")
    assert (clip.num_frames, clip.width, clip.height) == (9, 64, 64)
    assert (settings.STORAGE_ROOT / clip.path).is_file() and (settings.STORAGE_ROOT / clip.poster).is_file()
    assert "mia" not in clip.path and "clip.mp4" not in clip.path


def test_importing_twice_adds_nothing(people):
    import_people(people, source="tests")
    report = import_people(people, source="tests")
    assert (report.num_new, report.num_known) == (0, 3)
    assert Reference.objects.count() == 3


def test_a_new_file_of_a_known_person_is_added(people):
    import_people(people, source="tests")
    write_photo(people / "tom" / "new.png", np.full((64, 64, 3), 7, np.uint8))
    assert import_people(people, source="tests").num_new == 1
    assert IdentityGroup.objects.count() == 2


def test_a_card_says_who_somebody_is(people):
    card = {"source": "studio", "licence": "CC-BY-4.0", "split": "eval", "consent_expires_on": "2030-01-31"}
    (people / "tom" / "identity.json").write_text(json.dumps(card))
    import_people(people, source="tests")
    tom = IdentityGroup.objects.get(name="tom")
    assert (tom.source, tom.licence, tom.split, str(tom.consent_expires_on)) == (
        "studio",
        "CC-BY-4.0",
        "eval",
        "2030-01-31",
    )


def test_nobody_moves_to_another_split(people):
    import_people(people, source="tests", split="train")
    report = import_people(people, source="tests", split="eval")
    assert report.num_new == 0
    assert [item.reason for item in report.rejected if item.path == "tom"] == ["bad_card"]
    assert set(IdentityGroup.objects.values_list("split", flat=True)) == {"train"}


def test_a_file_with_cuts_becomes_a_reference_a_shot(tmp_path):
    rng = np.random.default_rng(0)
    places = rng.integers(0, 255, (3, 8, 8, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    frames = np.concatenate([np.repeat(place[None], 20, axis=0) for place in places])
    (tmp_path / "mia").mkdir()
    write_clip(tmp_path / "mia" / "film.mp4", frames, 25)
    assert import_people(tmp_path, source="tests").num_new == 3
    assert list(Reference.objects.values_list("shot", "num_frames")) == [(0, 20), (1, 20), (2, 20)]
    for reference, place in zip(Reference.objects.all(), places, strict=True):
        shown = read_clip(settings.STORAGE_ROOT / reference.path).frames.mean(axis=(0, 1, 2))
        assert shown == pytest.approx(place.mean(axis=(0, 1)), abs=6)
    assert import_people(tmp_path, source="tests").num_known == 1
    assert Reference.objects.count() == 3


def test_another_file_of_the_same_pixels_is_a_duplicate(tmp_path):
    (tmp_path / "mia").mkdir()
    write_photo(tmp_path / "mia" / "one.png", np.full((64, 64, 3), 7, np.uint8))
    Image.fromarray(np.full((64, 64, 3), 7, np.uint8)).save(tmp_path / "mia" / "two.png", compress_level=0)
    report = import_people(tmp_path, source="tests")
    assert (report.num_new, [str(item.reason) for item in report.rejected]) == (1, ["duplicate"])
    assert "one.png" in report.rejected[0].detail
    assert len(list((settings.STORAGE_ROOT / "references").rglob("media.png"))) >= 1
    with pytest.raises(IntegrityError, match="one_reference_a_checksum"), transaction.atomic():
        twin = Reference.objects.get()
        twin.pk, twin.source_sha256 = None, "f" * 64
        twin.save()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        import_people(tmp_path / "nowhere", source="tests")


@pytest.mark.slow
@pytest.mark.skipif(not REALDATA.is_dir(), reason="the folder of real people is not here")
def test_it_imports_real_people_whole(tmp_path):
    """Everybody, with the smallest file of each kind: the clips of one person come from one camera."""
    num_files = 0
    for person in sorted((REALDATA / "people").iterdir()):
        (tmp_path / person.name).mkdir()
        by_size = sorted(person.iterdir(), key=lambda file: file.stat().st_size, reverse=True)
        for file in {file.suffix: file for file in by_size}.values():
            shutil.copy(file, tmp_path / person.name)
            num_files += 1
    report = import_people(tmp_path, source="realdata")
    assert (report.num_new, report.rejected) == (num_files, [])
    assert report.num_people == len(list((REALDATA / "people").iterdir()))


def test_the_database_keeps_every_version_of_a_prompt():
    instance = make_instance()
    with pytest.raises(DatabaseError, match="append_only"), transaction.atomic():
        DifferentialPrompt.objects.filter(pk=instance.prompt_id).update(text="something else")
    edited = DifferentialPrompt.objects.create(
        text="better words", elements=instance.prompt.elements, method="edited", supersedes=instance.prompt
    )
    assert instance.prompt.superseded_by == edited
