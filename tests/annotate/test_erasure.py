"""Erasure, and the chain that remembers that it happened without remembering whom."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import DatabaseError, transaction

from annotate.models import (
    AuditEvent,
    DifferentialPrompt,
    Export,
    IdentityGroup,
    Judgment,
    Reference,
    VideoPair,
    VideoSample,
)
from annotate.services.audit import event_hash, record_event
from annotate.services.erasure import erase_identity
from annotate.services.preferences import export_round
from annotate.services.rounds import RoundError
from annotate.services.runs import cancel_run, queue_dpo, run_dir
from rlhf.records import Track, Verdict
from tests.annotate.test_judgments import vote
from tests.factories import make_group, make_instance, make_pair

pytestmark = pytest.mark.django_db


@pytest.fixture
def exported():
    pair = make_pair(instance=make_instance(make_group(name="mia"), num_references=1))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    return export_round(pair.round)


def test_without_yes_it_only_counts(exported):
    report = erase_identity("mia")
    assert (report["references"], report["videos"], report["erased"]) == (1, 2, False)
    assert IdentityGroup.objects.filter(name="mia").exists()


def test_it_erases_rows_files_and_exports(exported):
    reference = Reference.objects.get(group__name="mia")
    report = erase_identity("mia", really=True)
    assert report["exports_withdrawn"] == [str(exported)]
    for table in (IdentityGroup, Reference, VideoSample, Judgment, DifferentialPrompt):
        assert not table.objects.exists(), table
    assert not (settings.STORAGE_ROOT / reference.path).exists()
    assert not (settings.STORAGE_ROOT / exported.folder).exists()
    assert Export.objects.get().withdrawn
    event = AuditEvent.objects.get(verb="erase_identity")
    assert "mia" not in str(event.detail)


def test_it_erases_what_jobs_keep_of_a_person(exported):
    """Encoded pairs go with their export; another person's videos, whose number only begins alike, stay."""
    pair = VideoPair.objects.get()
    request = run_dir(queue_dpo(pair.round, exported)).read_request()
    cache = run_dir(exported.runs.get()).resolve(request["cache"])
    run = settings.STORAGE_ROOT / "runs" / "round-1"
    mine = [
        cache / f"{'a' * 64}.safetensors",
        run / f"dpo-1/samples/step-0/{pair.pk}.mp4",
        run / f"evaluate-1/without_pd/{pair.instance_id}-7.mp4",
        run / f"evaluate-1/scores/without_pd/{pair.instance_id}-7.json",
        run / "evaluate-1/report.html",
        run / f"evaluate-3/scores/consisid/{pair.instance_id}-7.json",  # its video lies elsewhere
        run / "evaluate-3/report.html",
    ]
    theirs = [
        cache.with_name("another.cache") / f"{'a' * 64}.safetensors",
        run / f"dpo-1/samples/step-0/{pair.pk}0.mp4",
        run / f"evaluate-1/candidate/{pair.instance_id}1-7.mp4",
        run / f"evaluate-2/candidate/{pair.instance_id}1-7.mp4",
        run / "evaluate-2/report.html",
    ]
    for path in [*mine, *theirs]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    erase_identity("mia")
    assert all(path.exists() for path in [*mine, *theirs])
    with pytest.raises(RoundError, match="dpo-1 works with files of mia; cancel it"):
        erase_identity("mia", really=True)
    cancel_run(exported.runs.get())
    erase_identity("mia", really=True)
    assert not any(path.exists() for path in mine)
    assert all(path.exists() for path in theirs)


def test_it_asks_which_of_two_people_of_one_name(exported):
    make_group(name="mia", source="elsewhere")
    with pytest.raises(RoundError, match="elsewhere, tests"):
        erase_identity("mia", really=True)
    with pytest.raises(RoundError, match="0 people"):
        erase_identity("nobody")


def test_the_audit_chain_shows_every_gap(lea):
    for number in range(3):
        record_event("look", lea, actor=lea, number=number)
    events = list(AuditEvent.objects.order_by("id"))
    previous = ""
    for event in events:
        assert event.previous_hash == previous
        assert event.hash == event_hash(event)
        previous = event.hash
    events[1].detail = {"number": 7}
    assert event_hash(events[1]) != events[1].hash


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_database_refuses_to_change_the_audit(lea, change):
    record_event("look", lea)
    with pytest.raises(DatabaseError, match="append_only"), transaction.atomic():
        if change == "update":
            AuditEvent.objects.update(verb="nothing")
        else:
            AuditEvent.objects.all().delete()
