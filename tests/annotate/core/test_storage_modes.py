"""What is stored can be read by the site's account and its group, by nobody else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from annotate.apps import check_storage
from annotate.exports.downloads import request_file, write_file
from annotate.exports.freezing import export_round
from annotate.storage.address import BucketAddress, FolderAddress
from annotate.supervisor import site
from rlhf.records import Track, Verdict
from tests.annotate.described_people import import_described
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import vote

#: For group and others: nothing that writes, and nothing for others at all.
TOO_MUCH = 0o027


def too_open(root: Path) -> list[str]:
    paths = [root, *root.rglob("*")]
    return [
        f"{path} {path.stat().st_mode:o}" for path in paths if stat.S_IMODE(path.stat().st_mode) & TOO_MUCH
    ]


@pytest.mark.django_db
def test_whatever_the_site_stores_is_closed_to_others(tmp_path):
    import_described(tmp_path / "people")
    pair = make_pair(make_round(), make_instance(num_references=1))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    export_round(pair.round)
    assert write_file(request_file(make_user(role="lead")).pk, uuid4())
    assert {path.name for path in settings.STORAGE_ROOT.iterdir()} >= {"references", "exports", "judgments"}
    assert too_open(settings.STORAGE_ROOT) == []


def test_commands_that_the_site_starts_write_as_closed(tmp_path):
    code = "import pathlib; pathlib.Path('folder').mkdir(); pathlib.Path('folder/file').write_text('')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("folder", "folder/file")]
    assert modes == [0o750, 0o640]


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777])
def test_a_start_on_an_open_storage_is_refused_with_the_remedy(tmp_path, settings, mode):
    storage = tmp_path / "storage"
    settings.STORAGE = FolderAddress(storage)
    assert check_storage(None) == [], "the supervisor makes it"
    storage.mkdir()
    for closed in (0o750, 0o700, 0o2750):
        storage.chmod(closed)
        assert check_storage(None) == []
    storage.chmod(mode)
    (message,) = check_storage(None)
    assert message.id == "annotate.E003" and f"{mode:o}" in message.msg
    assert message.hint == f"Run: chmod -R g-w,o-rwx {storage}"
    subprocess.run(["sh", "-c", message.hint.removeprefix("Run: ")], check=True)
    assert check_storage(None) == []


def test_a_bucket_has_no_modes_to_look_at(settings):
    settings.STORAGE = BucketAddress(bucket="faces")
    assert check_storage(None) == []


def test_the_supervisor_closes_what_an_earlier_release_left_open(tmp_path, monkeypatch):
    storage = tmp_path / "storage"
    places = {"VAR_DIR": tmp_path, "STATIC_ROOT": tmp_path / "static", "STORAGE_ROOT": storage}
    for name, place in places.items():
        monkeypatch.setattr(site.settings, name, place)
    storage.mkdir()
    storage.chmod(0o2775)
    site._make_folders()
    assert stat.S_IMODE(storage.stat().st_mode) == 0o2750
    os.rmdir(storage)
    site._make_folders()
    assert stat.S_IMODE(storage.stat().st_mode) == 0o750
