"""Judgments as files: whole or not there, the same rows in both formats, stopped and begun again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from annotate.exports import downloads, judgment_rows
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import AuditEvent, Judgment, JudgmentFile, RunStatus, User
from annotate.quality.disqualification import disqualify
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair, make_round, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def votes(ana, ben) -> list[Judgment]:
    """Seven votes: two people on two tracks, one simulated, one changed."""
    simulated = make_user("bot", is_simulated=True)
    round = make_round(votes_wanted=2)
    for _ in range(2):
        make_pair(round)
    for person, track in ((ana, Track.IDENTITY), (ben, Track.CONTROLLABILITY), (simulated, Track.IDENTITY)):
        for choice in ("left", "tie"):
            slot = lease_slot(person, track)
            details = {"evidence": {"active_ms": 900}, "note": 'Größe\n"x"'} if choice == "left" else {}
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), **details)
    revise_judgment(simulated, slot.lease, "right", idempotency_key=uuid4(), strength="slightly")
    return list(Judgment.objects.order_by("id"))


def written(lead: User, **wanted: object) -> JudgmentFile:
    file = downloads.request_file(lead, **wanted)
    assert downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    return file


def place(file: JudgmentFile, settings) -> Path:
    return settings.STORAGE_ROOT / file.path


def rows(file: JudgmentFile, settings) -> list[dict]:
    with gzip.open(place(file, settings), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_a_file_holds_every_judgment_once(votes, lea, settings):
    file = written(lea)
    found = rows(file, settings)
    assert [row["judgment_id"] for row in found] == [vote.pk for vote in votes]
    assert [row["verdict"] for row in found] == [vote.verdict for vote in votes]
    assert [list(row) for row in found] == [list(judgment_rows.NAMES)] * 7
    assert [row["is_simulated"] for row in found] == [False] * 4 + [True] * 3
    assert [row["is_latest"] for row in found] == [True] * 5 + [False, True]
    assert found[0]["note"] == 'Größe\n"x"' and found[0]["evidence"] == {"active_ms": 900}
    assert (file.num_rows, file.rows_written) == (7, 7)
    content = place(file, settings).read_bytes()
    assert (file.sha256, file.size_bytes) == (sha256(content).hexdigest(), len(content))


def test_both_formats_hold_the_same(votes, lea, settings):
    lines = rows(written(lea), settings)
    table = pq.read_table(place(written(lea, file_format="parquet"), settings)).to_pylist()
    for line, row in zip(lines, table, strict=True):
        row |= {name: json.loads(row[name]) for name in ("reasons", "breaks", "evidence")}
        row |= {name: row[name].isoformat() for name in ("leased_at", "judged_at")}
        assert line == row


def test_the_same_judgments_are_the_same_bytes(votes, lea):
    assert written(lea).sha256 == written(lea).sha256


def test_it_holds_what_was_asked_for(votes, lea, settings):
    other = make_round()
    assert rows(written(lea, round=other), settings) == []
    assert len(rows(written(lea, round=votes[0].slot.round), settings)) == 7
    assert len(rows(written(lea, track="identity"), settings)) == 5
    assert len(rows(written(lea, includes_simulated=False), settings)) == 4


def test_people_are_pseudonyms_unless_names_are_asked_for(votes, lea, settings):
    found = rows(written(lea), settings)
    people = {row["annotator"] for row in found}
    assert len(people) == 3 and not any("ana" in str(row.values()) for row in found)
    assert {row["annotator"] for row in rows(written(lea), settings)} == people
    named = {row["annotator"] for row in rows(written(lea, includes_names=True), settings)}
    assert named == {"ana", "ben", "bot"}
    last = AuditEvent.objects.filter(verb="request_judgments").last()
    assert last.actor == lea and last.detail == {"includes_names": True}


def test_votes_of_somebody_disqualified_are_marked(votes, ana, lea, settings):
    assert not any(row["is_disqualified"] for row in rows(written(lea), settings))
    disqualify(ana, "always left", lea)
    marked = [row["judgment_id"] for row in rows(written(lea), settings) if row["is_disqualified"]]
    assert marked == [vote.pk for vote in votes if vote.slot.annotator == ana]


def in_small_chunks(monkeypatch) -> None:
    monkeypatch.setattr(judgment_rows, "CHUNK", 2)


def test_a_cancelled_file_leaves_nothing(votes, lea, settings, monkeypatch):
    in_small_chunks(monkeypatch)
    file = downloads.request_file(lea)
    stopped_after = stop_after(1, lambda: downloads.cancel_file(file), monkeypatch)
    assert not downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert (file.status, file.path, stopped_after) == (RunStatus.CANCELLED, "", [1])
    assert list((settings.STORAGE_ROOT / "judgments").glob(f"*-{file.pk}-*")) == []
    assert not downloads.cancel_file(file)


def stop_after(count: int, stop, monkeypatch) -> list[int]:
    """Call `stop` before a chunk; the chunks that were written until then."""
    given = judgment_rows.judgment_rows
    seen: list[int] = []

    def rows_with_a_stop(file: JudgmentFile) -> Iterator[list]:
        for number, chunk in enumerate(given(file)):
            if number == count:
                seen.append(number)
                stop()
            yield chunk

    monkeypatch.setattr(downloads, "judgment_rows", rows_with_a_stop)
    return seen


def test_a_killed_worker_leaves_no_half_file_and_another_begins_again(votes, lea, settings, monkeypatch):
    in_small_chunks(monkeypatch)
    folder = settings.STORAGE_ROOT / "judgments"
    file = downloads.request_file(lea)

    def killed() -> None:
        # What a kill leaves behind, since Python tidies up after an exception and not after a kill.
        (folder / f".judgments-{file.pk}-dead.jsonl.0a1b2c.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(2, killed, patch)
        downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert (file.status, file.rows_written, file.path) == (RunStatus.RUNNING, 4, "")
    assert downloads.QUEUE.requeue_lost() == []
    JudgmentFile.objects.update(heartbeat_at=timezone.now() - downloads.LOST_AFTER - timedelta(seconds=1))
    assert downloads.QUEUE.requeue_lost() == [file.pk]
    assert downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert file.rows_written == len(rows(file, settings)) == 7
    assert [path.name for path in folder.glob(f"*-{file.pk}-*")] == [Path(file.path).name]


def test_a_second_delivery_and_a_worker_that_lost_its_file_write_nothing(votes, lea, monkeypatch):
    in_small_chunks(monkeypatch)
    file = downloads.request_file(lea)
    other = uuid4()
    stop_after(2, lambda: JudgmentFile.objects.filter(pk=file.pk).update(worker=other), monkeypatch)
    assert not downloads.write_file(file.pk, uuid4())
    assert not downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert (file.status, file.worker, file.path) == (RunStatus.RUNNING, other, "")


def test_a_full_disk_is_told(votes, lea, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(judgment_rows.JsonLines, "write", full)
    file = downloads.request_file(lea)
    assert not downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert file.status == RunStatus.FAILED and "No space left" in file.error


def test_files_are_removed_after_their_days(votes, lea, settings, django_capture_on_commit_callbacks):
    file = written(lea)
    assert downloads.remove_expired_files() == 0
    JudgmentFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    gone = place(file, settings)
    with django_capture_on_commit_callbacks(execute=True):
        assert downloads.remove_expired_files() == 1 and gone.exists()
    assert not gone.exists()
    answer = machine_of(lea).get(f"/api/judgment-files/{file.pk}/content/")
    assert answer.status_code == 409 and "ask for a new one" in answer.json()["detail"]


def sent_files(monkeypatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr("annotate.exports.tasks.write_judgment_file.delay_on_commit", sent.append)
    return sent


def test_the_api_answers_202_then_progress_then_the_file(votes, lea, ana, settings, monkeypatch):
    sent = sent_files(monkeypatch)
    lead = machine_of(lea)
    answer = lead.post("/api/judgment-files/", {"track": "identity"}, format="json")
    assert answer.status_code == 202
    address = answer.headers["Location"]
    assert lead.get(address).json()["status"] == "queued"
    assert lead.get(f"{address}content/").status_code == 409
    assert downloads.write_file(sent[0], uuid4())
    file = lead.get(address).json()
    whole = lead.get(file["content"])
    content = b"".join(whole.streaming_content)
    assert (
        whole.headers["ETag"] == f'"{sha256(content).hexdigest()}"'
        and file["sha256"] in whole.headers["ETag"]
    )
    assert "judgments-" in whole.headers["Content-Disposition"]
    part = lead.get(file["content"], headers={"Range": "bytes=10-"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, content[10:])
    assert lead.delete(address).status_code == 409
    for path in (address, file["content"], "/api/judgment-files/"):
        assert machine_of(ana).get(path).status_code == 404
        assert machine_of(None).get(path).status_code == 401


def test_leads_ask_watch_cancel_and_download(votes, lea, ana, monkeypatch):
    sent = sent_files(monkeypatch)
    browser = browser_of(lea)
    wanted = {"round": votes[0].slot.round_id, "track": "", "file_format": "parquet"}
    assert browser_of(ana).post("/judgments/", wanted).status_code == 404
    assert browser.post("/judgments/", wanted | {"file_format": "xls"}).status_code == 422
    for _ in range(2):
        assert browser.post("/judgments/", wanted).status_code == 302
    assert "every 2s" in browser.get("/judgments/").content.decode()
    assert downloads.write_file(sent[0], uuid4())
    browser.post(f"/judgments/{sent[1]}/cancel/")
    page = browser.get("/judgments/").content.decode()
    assert "every 2s" not in page and "cancelled" in page
    assert browser.get(f"/judgments/{sent[0]}/content/").status_code == 200
    assert browser.get(f"/judgments/{sent[1]}/content/").status_code == 302
    assert browser_of(ana).get(f"/judgments/{sent[0]}/content/").status_code == 404
    part = browser.get("/judgments/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
