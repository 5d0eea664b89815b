"""Removing files: after the commit, never before it, never what a row names, and again after a failure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from annotate.models import FileRemoval
from annotate.privacy.file_removal import Removed, carry_out, remove_after_commit
from annotate.privacy.tasks import remove_files
from annotate.privacy.traces import Traces
from tests.factories import make_group, make_reference

#: Who else in the product removes or moves files, and why a transaction cannot come between.
OWN_FILES = {
    "fleet/staging.py:bring_down": "a worker's own copies, in a folder of its own outside the storage",
    "fleet/work.py:work": "likewise, once the shard is done",
    "privacy/file_removal.py:_do": "the journal itself",
    "studies/media.py:_store_video": "a copy that no row ever named",
    "studies/media.py:_store_references": "copies that no row ever named",
    "exports/downloads.py:write_file": "what another worker left behind of it, or no row came to name",
    "jobs/run_folders.py:keep_new_folder": "what went to the bucket, of a run that has no row yet",
    "fleet/run_folders.py:_store": "checkpoints and the like that their own command replaced",
    "people/identities.py:_import_file": "copies that no row ever named",
    "people/dataset_import.py:_read_reference": "copies that no row ever named",
    "people/dataset_import.py:_remove_files": "likewise, of references that another one's failure left out",
    "exports/freezing.py:export_round": "a set that no row names, of somebody whose rows are gone",
}


@pytest.fixture
def file() -> Path:
    place = settings.STORAGE_ROOT / "gold" / "somebody.mp4"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"a face")
    return place


def name(place: Path) -> str:
    return str(place.relative_to(settings.STORAGE_ROOT))


@pytest.mark.django_db(transaction=True)
def test_a_file_goes_when_its_transaction_has_ended(file):
    with transaction.atomic():
        remove_after_commit([name(file)])
        assert file.exists()
    assert not file.exists() and not FileRemoval.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_file_stays_when_its_transaction_is_rolled_back(file):
    with pytest.raises(IntegrityError), transaction.atomic():
        remove_after_commit([name(file)])
        FileRemoval.objects.create(path="")
    assert file.exists() and not FileRemoval.objects.exists()


@pytest.mark.django_db
def test_what_a_crash_left_is_taken_up_and_doing_it_again_changes_nothing(file):
    remove_after_commit([name(file), name(file), "gold/never-there.mp4"])
    assert file.exists()
    remove_files()
    assert not file.exists()
    assert carry_out() == Removed()


@pytest.mark.django_db
def test_what_a_row_names_stays(file):
    reference = make_reference(make_group())
    mine = make_reference(make_group(), path="references/own/media.mp4", poster="references/own/poster.jpg")
    for path in (mine.path, mine.poster):
        (settings.STORAGE_ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (settings.STORAGE_ROOT / path).write_bytes(b"x")
    remove_after_commit([reference.path, name(file)], ["references/own"])
    assert carry_out() == Removed(done=1, kept=2)
    assert (settings.STORAGE_ROOT / reference.path).exists() and not file.exists()
    assert (settings.STORAGE_ROOT / mine.path).exists()
    mine.delete()
    remove_after_commit(folders=["references/own"])
    assert carry_out() == Removed(done=1) and not (settings.STORAGE_ROOT / "references/own").exists()


@pytest.mark.django_db
def test_what_cannot_be_removed_stays_written_down_with_the_reason(file):
    """A folder where a file was named: nothing else is held up by it."""
    stubborn = settings.STORAGE_ROOT / "gold" / "stubborn"
    stubborn.mkdir(exist_ok=True)
    remove_after_commit([name(stubborn), name(file)])
    assert carry_out() == Removed(done=1, failed=1)
    left = FileRemoval.objects.get()
    assert left.path == "gold/stubborn" and "irectory" in left.error
    stubborn.rmdir()
    assert carry_out() == Removed(done=1)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "/etc/passwd", "../outside", "gold/../../outside"])
def test_the_database_refuses_paths_outside_the_storage(path):
    with pytest.raises(IntegrityError), transaction.atomic():
        remove_after_commit([path])


@pytest.mark.django_db
def test_a_record_is_struck_and_keeps_the_others(file):
    place = file.with_name("metrics.jsonl")
    place.write_text('{"sample_id": "7"}\n{"sample_id": "8"}\n{"torn')
    remove_after_commit(struck={name(place): Traces(samples=("7",))})
    assert carry_out() == Removed(done=1)
    assert place.read_text() == '{}\n{"sample_id": "8"}\n{"torn'


def test_nobody_else_removes_files():
    """Whoever adds a place that does says here why no transaction can come between, or uses the journal."""
    package = Path(settings.BASE_DIR) / "annotate"
    found = set()
    for path in [*package.rglob("*.py")]:
        if path.parent.name in ("supervisor", "storage") or path.name == "demo.py":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and _removes(function):
                found.add(f"{path.relative_to(package).as_posix()}:{function.name}")
    assert found == set(OWN_FILES)


def _removes(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("unlink", "rmtree", "rmdir", "remove", "rename", "remove_folder")
        for node in ast.walk(function)
    )
