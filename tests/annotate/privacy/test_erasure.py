"""Erasure, and the chain that remembers that it happened without remembering whom."""

from __future__ import annotations

import json
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q

from annotate.core.audit import event_hash, record_event
from annotate.core.errors import RoundError
from annotate.database.triggers import without_append_only
from annotate.exports import freezing
from annotate.exports.downloads import request_file, write_file
from annotate.exports.freezing import export_round
from annotate.gold.gold import make_gold
from annotate.jobs.runs import cancel_run, claim_run, end_run, run_dir
from annotate.models import (
    AuditEvent,
    DifferentialPrompt,
    Disqualification,
    Erasure,
    Export,
    GoldKind,
    GoldPair,
    IdentityGroup,
    Judgment,
    JudgmentFile,
    Reference,
    VideoPair,
    VideoSample,
)
from annotate.privacy.erasure import erase_identity
from annotate.privacy.tasks import remove_files
from annotate.training.dpo import queue_dpo
from rlhf.records import Track, Verdict
from tests.annotate.conftest import machine_of
from tests.factories import make_group, make_instance, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db

gold_sources = import_module("annotate.migrations.0003_gold_sources")
#: Copies of impostor pairs.
GOLD = Q(pairs_as_first__gold__kind="impostor") | Q(pairs_as_second__gold__kind="impostor")


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


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_erasure_while_a_set_is_written_leaves_no_folder(is_killed, monkeypatch):
    """It comes when the folder is there and the row is not; who writes the set dies then, or goes on."""
    pair = make_pair(instance=make_instance(make_group(name="mia"), num_references=1))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    store, folders = freezing._store, []

    def erased_before(round, frozen, *arguments, **options):
        folders.append(settings.STORAGE_ROOT / frozen.folder)
        assert folders[0].exists()
        if is_killed:
            raise MemoryError
        erase_identity("mia", really=True)
        return store(round, frozen, *arguments, **options)

    monkeypatch.setattr(freezing, "_store", erased_before)
    with pytest.raises(MemoryError if is_killed else RoundError):
        export_round(pair.round)
    if is_killed:
        erase_identity("mia", really=True)
    assert not folders[0].exists() and not Export.objects.exists()


def test_it_erases_what_jobs_keep_of_a_person(exported, tmp_path):
    """Encoded pairs go with their export; another person's videos, whose number only begins alike, stay."""
    pair = VideoPair.objects.get()
    request = run_dir(queue_dpo(pair.round, exported)).read_request()
    cache = run_dir(exported.runs.get()).resolve(request["cache"])
    run = settings.STORAGE_ROOT / "runs" / tmp_path.name  # of no other test
    mine = [
        cache / f"{'a' * 64}.safetensors",
        run / f"dpo-1/samples/step-0/{pair.pk}.mp4",
        run / f"evaluate-1/without_pd/{pair.instance_id}-7.mp4",
        run / f"evaluate-1/scores/without_pd/{pair.instance_id}-7.json",
        run / "evaluate-1/report.html",
        run / "evaluate-1/sheet.jpg",
        run / f"evaluate-3/scores/consisid/{pair.instance_id}-7.json",  # its video lies elsewhere
        run / "evaluate-3/report.html",
    ]
    theirs = [
        cache.with_name("another.cache") / f"{'a' * 64}.safetensors",
        run / f"dpo-1/samples/step-0/{pair.pk}0.mp4",
        run / f"evaluate-1/candidate/{pair.instance_id}1-7.mp4",
        run / f"evaluate-2/candidate/{pair.instance_id}1-7.mp4",
        run / "evaluate-2/report.html",
        run / "evaluate-2/sheet.jpg",
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
    assert [path for path in mine if path.exists()] == []
    assert [path for path in theirs if not path.exists()] == []


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


def _as_of_old(gold: GoldPair) -> None:
    """Name copies as the version did that kept their sources nowhere else."""
    pair = gold.pair
    copies = (pair.first, pair.second)
    right = next(one.copy_of_id for one in copies if one.copy_of.instance_id == pair.instance_id)
    other = next(one.copy_of_id for one in copies if one.copy_of_id != right)
    key = gold_sources._digest(pair.round_id, gold.kind, gold.track, right, other)
    in_order = (right, other) if int(key[:8], 16) % 2 == 0 else (other, right)
    for number, (copy, source) in enumerate(zip(copies, in_order, strict=True)):
        digest = gold_sources._digest(key, number)
        VideoSample.objects.filter(pk=copy.pk).update(settings_digest=digest, copy_of=source)


def test_an_impostor_pair_goes_with_whoever_it_shows(exported):
    """Also one whose copies were written before they named their source."""
    other = make_pair(exported.round, make_instance(make_group(name="tom"), num_references=1))
    make_gold(exported.round)
    impostors = GoldPair.objects.filter(kind=GoldKind.IMPOSTOR)
    for gold in impostors.all():
        _as_of_old(gold)
    named = set(VideoSample.objects.exclude(copy_of=None).filter(GOLD).values_list("pk", "copy_of"))
    assert impostors.count() == 2 and len(named) == 4
    VideoSample.objects.update(copy_of=None)
    gold_sources.name_sources(apps, None)
    assert set(VideoSample.objects.exclude(copy_of=None).values_list("pk", "copy_of")) == named
    files = [settings.STORAGE_ROOT / video.path for video in VideoSample.objects.filter(GOLD)]
    erase_identity("mia", really=True)
    assert not impostors.exists() and not any(file.exists() for file in files)
    assert VideoPair.objects.filter(gold=None).get() == other
    assert not VideoSample.objects.exclude(instance__group__name="tom").exists()


def test_a_copy_whose_source_is_gone_is_shown_to_nobody(exported):
    """As erasure left them before: the pair could still be leased, the file still be seen."""
    make_pair(exported.round, make_instance(make_group(name="tom"), num_references=1))
    make_gold(exported.round)
    VideoSample.objects.filter(GOLD).update(copy_of=None, shown_path="")  # there were no display copies
    mine = VideoSample.objects.filter(instance__group__name="mia", pairs_as_second__gold=None)
    with without_append_only({Judgment}):
        mine.delete()
    (gold,) = GoldPair.objects.filter(kind=GoldKind.IMPOSTOR)
    files = [settings.STORAGE_ROOT / video.path for video in (gold.pair.first, gold.pair.second)]
    gold_sources.name_sources(apps, None)
    gold.refresh_from_db()
    assert gold.retired_at is not None
    remove_files()
    assert not any(file.exists() for file in files)


def test_where_else_the_name_was_written_is_told(exported):
    """Such texts are about somebody else, and only a person can say what is to become of them."""
    other = make_pair(exported.round)
    vote(other, Track.IDENTITY, Verdict.FIRST)
    with without_append_only({Judgment}):
        Judgment.objects.filter(slot__pair=other).update(note="looks like Mia, not like Mialani")
    Disqualification.objects.create(annotator=make_user(), by=make_user(), reason="knows mia")
    make_round(name="miami")
    told = erase_identity("mia")["texts_that_mention_the_name"]
    assert told == {"Disqualification.reason": 1, "Judgment.note": 1}
    assert any("backups" in line for line in erase_identity("mia", really=True)["out_of_reach"])


def test_files_of_judgments_are_withdrawn_and_those_being_written_begin_anew(exported, lea):
    whole, pending = (request_file(lea, round=exported.round) for _ in range(2))
    elsewhere = request_file(lea, round=make_round())
    assert all(write_file(file.pk, uuid4()) for file in (whole, elsewhere))
    worker = uuid4()
    JudgmentFile.objects.filter(pk=pending.pk).update(status="running", worker=worker)
    half = settings.STORAGE_ROOT / "judgments" / f".judgments-{pending.pk}-{worker.hex}.jsonl.0a1b.gz"
    half.write_bytes(b"half a file")
    whole.refresh_from_db()
    elsewhere.refresh_from_db()
    paths = [settings.STORAGE_ROOT / file.path for file in (whole, elsewhere)]
    report = erase_identity("mia", really=True)
    assert report["judgment_files_withdrawn"] == 1
    assert [path.exists() for path in paths] == [False, True] and not half.exists()
    answer = machine_of(lea).get(f"/api/judgment-files/{whole.pk}/content/")
    assert answer.status_code == 409 and "withdrawn (a person's data were erased)" in answer.json()["detail"]
    assert write_file(pending.pk, uuid4())
    pending.refresh_from_db()
    assert (pending.status, pending.num_rows) == ("done", 0)


def test_the_same_answer_for_whoever_asks_again_and_no_name_is_kept(exported):
    report = erase_identity("mia", really=True)
    assert erase_identity("mia", really=True) == report == erase_identity("mia", source="tests", really=True)
    for name, source in (("tom", None), ("mia", "elsewhere")):
        with pytest.raises(RoundError, match="0 people"):
            erase_identity(name, source=source, really=True)
    with pytest.raises(RoundError, match="0 people"):
        erase_identity("mia")
    kept = Erasure.objects.get()
    assert "mia" not in json.dumps(kept.report) and "mia" not in kept.name_hash


def test_the_chain_does_not_keep_what_a_run_failed_with(exported):
    """It may be the path of a person's file, and the chain forgets nothing."""
    run = queue_dpo(exported.round, exported)
    worker = uuid4()
    claim_run(run.pk, worker)
    end_run(run, worker, "failed", "references/0a1b2c/media.png cannot be read")
    assert AuditEvent.objects.get(verb="failed_run").detail == {}
    run.refresh_from_db()
    assert "cannot be read" in run.error
