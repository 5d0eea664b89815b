"""Curation as a job: claimed once, resumed after a kill, and judged the same whatever the order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotate.models import Curation, IdentityGroup, Reference
from annotate.people import curation
from annotate.people.identities import import_people
from annotate.people.queries import read_annotation, usable_references
from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.bodies import EstimatedHumans
from generator.curation.detection.protocols import Detectors, FoundFace
from generator.files import file_sha256
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.portraits.__main__ import write_person
from generator.portraits.annotation import DETECTOR
from tests.factories import make_group, make_reference


class OneFace:
    """A detector that sees one face, of the size that the picture's first pixel says."""

    info = DetectorInfo("one face", "1", {})

    def find(self, picture: np.ndarray) -> list[FoundFace]:
        return [FoundFace(Box(2, 2, float(picture[0, 0, 0]), float(picture[0, 0, 0])))]


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curation, "_detectors", lambda: Detectors(OneFace(), EstimatedHumans()))


def textured(size: int, seed: int) -> np.ndarray:
    """A sharp picture, unlike those of other seeds, whose first pixel is `size`."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (16, 16, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    picture[:2, :2] = size
    return picture


@pytest.fixture
def mia(tmp_path: Path) -> Path:
    """A person with a clip, a photo of a small face, and a second copy of a photo, brightened a little."""
    folder = tmp_path / "mia"
    folder.mkdir()
    write_photo(folder / "a.png", textured(90, 1))
    write_photo(folder / "b.png", np.clip(textured(90, 1).astype(int) + 3, 0, 255).astype(np.uint8))
    write_photo(folder / "small.png", textured(20, 2))
    write_photo(folder / "z.png", textured(80, 3))
    return tmp_path


def reasons() -> dict[str, list[str]]:
    return dict(Reference.objects.values_list("source_name", "reject_reasons"))


EXPECTED = {"a.png": [], "b.png": ["duplicate"], "small.png": ["small_face"], "z.png": []}


@pytest.mark.django_db
def test_every_file_is_looked_at_once_and_has_its_reason(mia, seeing):
    report = import_people(mia, source="tests")
    assert not usable_references().exists(), "nothing is used before it was looked at"
    seen: list[None] = []
    curation.curate_people(report.people, on_done=lambda: seen.append(None))
    assert (reasons(), len(seen)) == (EXPECTED, 4)
    for reference in Reference.objects.all():
        record = read_annotation(reference)
        assert record.sha256 == reference.sha256 == file_sha256(settings.STORAGE_ROOT / reference.path)
        assert record.face_detector.name == "one face"
        assert reference.boxes["face"]["width"] == record.frames[0].faces[0].box.width
    assert not curation.curate_reference(Reference.objects.first().pk), "what is done is not done again"


@pytest.mark.django_db
@pytest.mark.parametrize("order", ["pk", "-pk", "sha256"])
def test_the_order_of_the_work_changes_nothing(mia, seeing, order):
    import_people(mia, source="tests")
    for pk in list(Reference.objects.order_by(order).values_list("pk", flat=True)):
        assert curation.curate_reference(pk)
    assert reasons() == EXPECTED


@pytest.mark.django_db
def test_what_fails_says_why_and_is_not_used(mia, seeing, monkeypatch):
    import_people(mia, source="tests")

    def no_weights() -> Detectors:
        raise ValueError("weights.json names no yunet;\nput it there")

    monkeypatch.setattr(curation, "_detectors", no_weights)
    assert curation.curate_reference(Reference.objects.first().pk)
    failed = Reference.objects.get(curation=Curation.FAILED)
    assert failed.curation_error == "weights.json names no yunet; put it there"
    assert not usable_references().exists()


@pytest.mark.slow
@pytest.mark.django_db
def test_drawn_people_are_annotated_by_what_is_known_and_all_kept(tmp_path):
    write_person(tmp_path / "person-10000000", 10_000_000, "train")
    call_command("import_identities", tmp_path, "--json")
    assert usable_references().count() == Reference.objects.count() == 11
    for reference in Reference.objects.all():
        record = read_annotation(reference)
        assert record.face_detector.name == DETECTOR
        assert [len(frame.faces) for frame in record.frames] == [1] * reference.num_frames


@pytest.mark.django_db
def test_a_lost_reference_is_queued_again_and_a_live_one_is_not():
    group, now = make_group(), timezone.now()
    running = {"curation": Curation.RUNNING, "curation_worker": uuid4()}
    lost = make_reference(group, **running, curation_heartbeat_at=now - timedelta(minutes=1))
    live = make_reference(group, **running, curation_heartbeat_at=now)
    fresh, unclaimed = (make_reference(group, curation=Curation.PENDING) for _ in range(2))
    long_ago = now - timedelta(minutes=5)
    Reference.objects.filter(pk=unclaimed.pk).update(curation_queued_at=long_ago)
    assert set(curation.QUEUE.requeue_lost()) == {lost.pk, unclaimed.pk}
    assert curation.QUEUE.requeue_lost() == [], "not again before its time"
    states = dict(Reference.objects.values_list("pk", "curation"))
    assert states == {
        lost.pk: "pending",
        live.pk: "running",
        fresh.pk: "pending",
        unclaimed.pk: "pending",
    }


@pytest.mark.django_db
def test_a_long_queue_does_not_fill_up_with_copies(monkeypatch):
    monkeypatch.setattr(curation, "QUEUE", replace(curation.QUEUE, most=2))
    group = make_group()
    for _ in range(3):
        make_reference(group, curation=Curation.PENDING)
    Reference.objects.update(curation_queued_at=timezone.now() - timedelta(minutes=5))
    assert [len(curation.QUEUE.requeue_lost()) for _ in range(3)] == [2, 1, 0]


@pytest.mark.django_db
def test_the_database_keeps_states_whole():
    reference = make_reference(make_group())
    for wrong in ({"curation": "odd"}, {"curation": "failed"}, {"curation": "running"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Reference.objects.filter(pk=reference.pk).update(**wrong)


def at_once(count: int, act: Callable[[], object]) -> list[object]:
    """Do the same in several threads, started together, each with a connection of its own."""
    barrier, results = threading.Barrier(count), []

    def run() -> None:
        try:
            barrier.wait()
            results.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_one_of_many_workers_gets_a_reference():
    for _ in range(5):
        reference = make_reference(make_group(), curation=Curation.PENDING)
        claimed = at_once(8, lambda pk=reference.pk: curation.claim_curation(pk, uuid4()))
        assert sum(item is not None for item in claimed) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_end_together_see_each_others_files(mia, seeing):
    import_people(mia, source="tests")
    ids = list(Reference.objects.values_list("pk", flat=True))
    at_once(4, lambda: [curation.curate_reference(pk) for pk in ids])
    assert reasons() == EXPECTED


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_given_up_changes_nothing(mia, seeing, monkeypatch):
    """It wakes up after its reference was queued again and taken by another one."""
    import_people(mia, source="tests")
    pk = Reference.objects.get(source_name="a.png").pk
    annotate = curation.annotate_media

    def slow(*arguments: object) -> object:
        Reference.objects.filter(pk=pk).update(curation_worker=uuid4())
        return annotate(*arguments)

    monkeypatch.setattr(curation, "annotate_media", slow)
    curation.curate_reference(pk)
    reference = Reference.objects.get(pk=pk)
    assert (reference.curation, reference.quality) == (Curation.RUNNING, {})


@pytest.mark.django_db(transaction=True)
def test_a_long_look_is_renewed(seeing, monkeypatch, tmp_path):
    (tmp_path / "tom").mkdir()
    write_clip(tmp_path / "tom" / "clip.mp4", np.stack([textured(90, 1)] * 9), 8)
    import_people(tmp_path, source="tests")
    monkeypatch.setattr(curation, "RENEW_S", 0.01)
    reference, annotate = Reference.objects.get(), curation.annotate_media
    beats = set()

    def slow(*arguments: object) -> object:
        while len(beats) < 3:
            beats.add(Reference.objects.get().curation_heartbeat_at)
        return annotate(*arguments)

    monkeypatch.setattr(curation, "annotate_media", slow)
    curation.curate_reference(reference.pk)
    assert Reference.objects.get().curation == Curation.DONE
    assert IdentityGroup.objects.count() == 1
