"""Exports and files of judgments leave a bucket as they leave a folder."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from hashlib import sha256
from uuid import uuid4

import pytest
from django.core.management import call_command

from annotate.exports import downloads, judgment_rows
from annotate.exports.freezing import export_round
from annotate.privacy.erasure import erase_identity
from rlhf.export.freezing import read_export
from tests.annotate.conftest import browser_of, machine_of, store_clips
from tests.versions import judged_round

pytestmark = pytest.mark.django_db(transaction=True)


def content(storage, key: str) -> bytes:
    return b"".join(storage.stream(key))


def keys(storage, prefix: str) -> list[str]:
    return [item.key for item in storage.list(prefix, with_partial=True)]


@pytest.fixture
def export(either_storage):
    round = judged_round()
    store_clips(either_storage)
    return export_round(round)


def test_a_set_is_given_out_and_written_for_a_trainer(lea, either_storage, export, tmp_path, capsys):
    address = f"/exports/{export.pk}/download/set/"
    answer = browser_of(lea).get(address)
    given = b"".join(answer.streaming_content)
    assert int(answer.headers["Content-Length"]) == len(given)
    with zipfile.ZipFile(io.BytesIO(given)) as archive:
        assert archive.testzip() is None
        files = {f"{export.folder}/{name}": archive.read(name) for name in archive.namelist()}
    assert files == {key: content(either_storage, key) for key in keys(either_storage, export.folder)}
    named = {"round": export.round.name, "format": "trl", "out": tmp_path / "out", "json": True}
    call_command("export_pairs", **named)
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == either_storage.shown(export.folder)
    with either_storage.local_folder(export.folder) as folder:
        media = {file.path.name: file.sha256 for row in read_export(folder).rows() for file in row.files}
    written = (tmp_path / "out" / "media").iterdir()
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in written} == media
    lost = next(key for key in files if key.endswith(".mp4"))
    either_storage.remove([lost])
    page = browser_of(lea).get(address, follow=True).content.decode()
    assert lost.removeprefix(f"{export.folder}/") in page and f"put its folder {export.folder} back" in page


def test_a_file_of_judgments_is_whole_or_not_there(lea, either_storage, export, monkeypatch):
    monkeypatch.setattr(judgment_rows, "CHUNK", 2)
    file = downloads.request_file(lea)
    begun = f"{downloads.FOLDER}/judgments-{file.pk}-dead{file.suffix}"
    others = f"{downloads.FOLDER}/judgments-1{file.pk}-other{file.suffix}"
    for key in (begun, others):
        either_storage.put(key, b"what a killed worker left behind")
    assert downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    assert keys(either_storage, downloads.FOLDER) == sorted([others, file.path])
    answer = machine_of(lea).get(f"/api/judgment-files/{file.pk}/content/")
    given = b"".join(answer.streaming_content)
    assert (sha256(given).hexdigest(), len(given)) == (file.sha256, file.size_bytes)
    assert len(gzip.decompress(given).splitlines()) == file.num_rows == 8
    erase_identity(export.pairs.first().pair.instance.group.name, really=True)
    assert keys(either_storage, downloads.FOLDER) == [others]


def test_a_file_that_is_stopped_or_lost_leaves_nothing(lea, either_storage, export, monkeypatch):
    stopped, lost = downloads.request_file(lea), downloads.request_file(lea)
    given = downloads.judgment_rows

    def rows_then_stop(file):
        yield from given(file)
        downloads.cancel_file(file)

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "judgment_rows", rows_then_stop)
        assert not downloads.write_file(stopped.pk, uuid4())
    stopped.refresh_from_db()
    assert (stopped.status, stopped.path) == ("cancelled", "")

    def refuse(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "file_sha256", refuse)
        assert not downloads.write_file(lost.pk, uuid4())
    lost.refresh_from_db()
    assert lost.status == "failed" and "No space left on device" in lost.error
    assert keys(either_storage, downloads.FOLDER) == []
