"""Erasing a person after a whole turn of the loop: no search finds that they were here."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from annotate.models import (
    DifferentialPrompt,
    Erasure,
    Export,
    FileRemoval,
    GoldPair,
    IdentityGroup,
    InstanceReference,
    Judgment,
    ModelVersion,
    Reference,
    Run,
    StudyInput,
    StudyVideo,
    TrainingSet,
    VideoSample,
)
from annotate.models.personal_data import PLACES
from annotate.privacy.erasure import erase_identity
from annotate.storage.address import FolderAddress
from annotate.storage.copying import copy_objects
from annotate.storage.opening import site_storage
from tests.annotate.whole_loop import NAME, NOTE, turn
from tests.object_store import CREDENTIALS

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

#: Suffixes of everything that shows somebody, or was encoded from it.
SHOWING = {".mp4", ".png", ".jpg", ".jpeg", ".webp", ".safetensors", ".html", ".gz", ".parquet"}
HOLD_NOBODY = ("datasets/", "sets/", "test/", "tokenizers/")


def stored() -> dict[str, float]:
    """Every file in the storage, also a half-written one, and when it was last changed."""
    return {item.key: item.modified for item in site_storage().list(with_partial=True)}


def content(key: str) -> bytes:
    return b"".join(site_storage().stream(key))


def words_of(person: IdentityGroup) -> set[str]:
    """What says that this person was here: names, words about them, paths and hashes of their files."""
    references = Reference.objects.filter(group=person)
    crops = InstanceReference.objects.filter(reference__group=person).exclude(path="")
    # Not the copy of somebody else's video that stands against hers: that is theirs, and has its twins.
    own = Q(instance__group=person, copy_of=None) | Q(copy_of__instance__group=person)
    videos = VideoSample.objects.filter(own)
    found = {NAME, "zephyrine", NOTE, person.pseudonym}
    found |= {
        name for row in references.values_list("source_sha256", "sha256", "path", "poster") for name in row
    }
    found |= {str(PurePath(path).parent) for path in references.values_list("path", flat=True)}
    found |= {name for row in crops.values_list("path", "poster", "sha256") for name in row}
    found |= {name for row in videos.values_list("path", "sha256") for name in row}
    inputs = StudyInput.objects.filter(group=person)
    found |= {item[part] for shown in inputs for item in shown.shown for part in ("path", "poster")}
    found |= set(StudyVideo.objects.filter(input__in=inputs).values_list("path", flat=True))
    others = set(DifferentialPrompt.objects.exclude(instances__group=person).values_list("text", flat=True))
    prompts = DifferentialPrompt.objects.filter(instances__group=person).values_list("text", flat=True)
    words = {word for word in found | (set(prompts) - others) if word}
    # Whatever holds a longer word holds what the word holds.
    return {word for word in words if not any(other in word for other in words - {word})}


def hashes_of(person: IdentityGroup, words: set[str]) -> set[str]:
    """The sha256 of every file of theirs, wherever it lies: by its name, or by the pair or instance in it."""
    pairs = {str(pk) for pk in person.instances.values_list("pairs", flat=True)}
    instances = {str(pk) for pk in person.instances.values_list("pk", flat=True)}
    found = set()
    for key in stored():
        path = PurePath(key)
        is_clip = bool(re.search(r"dpo-\d+/samples/", key)) and path.stem in pairs
        is_video = bool(re.search(r"evaluate-1/", key)) and path.stem.rpartition("-")[0] in instances
        if path.suffix in SHOWING and (is_clip or is_video or any(word in key for word in words)):
            found.add(sha256(content(key)).hexdigest())
    return found


def rows_with(words: set[str]) -> list[str]:
    """Every text and JSON column of every table that holds one of the words."""
    pattern = "|".join(re.escape(word) for word in sorted(words))
    found = []
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_concrete_fields:
            if field.get_internal_type() not in {
                "CharField",
                "TextField",
                "JSONField",
                "EmailField",
                "ArrayField",
            }:
                continue
            rows = model._default_manager.annotate(as_text=Cast(field.name, TextField()))
            found += [
                f"{model.__name__}.{field.name}: {text[:300]}"
                for text in rows.filter(as_text__iregex=pattern).values_list("as_text", flat=True)
            ]
    return found


def files_with(words: set[str], hashes: set[str]) -> list[str]:
    # Lower case is what both are brought to: a pattern that ignores case takes five times as long.
    pattern = re.compile("|".join(re.escape(word.lower()) for word in words).encode())
    found = []
    for key in stored():
        held = content(key)
        if sha256(held).hexdigest() in hashes:
            found.append(f"{key} is a file of theirs")
        if key.endswith(".gz"):
            held += gzip.decompress(held)
        if pattern.search(key.lower().encode()) or pattern.search(held.lower()):
            found.append(f"{key} names them")
    return found


def test_nothing_of_an_erased_person_is_found_anywhere(settings, tmp_path, object_store):
    """After one turn of the loop, in a folder, and then, as if that had not been, in a bucket."""
    pytest.importorskip("torch")
    settings.STORAGE_ROOT, settings.VAR_DIR = tmp_path / "storage", tmp_path / "var"
    settings.STORAGE = FolderAddress(tmp_path / "storage")
    _, export = turn(tmp_path)
    person = IdentityGroup.objects.get(name=NAME)
    folder, bucket = site_storage(), object_store.storage(tmp_path / "cache", "erased")
    assert copy_objects(folder, bucket, on_done=lambda _: None).copied == len(stored())
    # No `atomic`: an erasure insists on a transaction of its own.
    savepoint = transaction.savepoint()
    erase_and_search(person, export)
    transaction.savepoint_rollback(savepoint)
    settings.STORAGE, settings.STORAGE_CREDENTIALS = object_store.address("erased"), CREDENTIALS
    settings.STORAGE_ROOT = tmp_path / "site"
    erase_and_search(IdentityGroup.objects.get(name=NAME), Export.objects.get())


def erase_and_search(person: IdentityGroup, export: Export) -> None:
    """Erase the person, and everything that is left of them, and then the other person."""
    words = words_of(person)
    hashes = hashes_of(person, words)
    assert len(hashes) > 20 and files_with(words, hashes) and rows_with(words)
    assert GoldPair.objects.filter(kind="impostor").count() >= 2, "an impostor pair of each"
    votes = Judgment.objects.filter(slot__pair__instance__group__name="tom", slot__pair__gold=None).count()
    before = stored()
    unlisted = [key for key in before if not any(re.match(place.pattern, key) for place in PLACES)]
    # Tables of sets that were made by hand (a set goes as a whole), and vocabularies of base models.
    assert [name for name in unlisted if not name.startswith(HOLD_NOBODY)] == []

    told = erase_identity(NAME)
    assert stored() == before and not told["erased"]
    report = erase_identity(NAME, really=True)
    assert {name: report[name] for name in told.keys() - {"erased"}} == {
        name: told[name] for name in told.keys() - {"erased"}
    }
    assert report["erased"] and report["files_left"] == [] and not FileRemoval.objects.exists()
    assert len(before) - len(stored()) >= report["files"] > 0

    assert rows_with(words) == [] and files_with(words, hashes) == []
    # Both impostor pairs showed both people.
    assert not GoldPair.objects.filter(kind="impostor").exists()
    assert Judgment.objects.filter(slot__pair__gold=None).count() == votes > 0
    check_what_was_made_of_them(report, export)

    # Also what nobody thought of: after both people, nothing that shows anybody is left at all.
    erase_identity("tom", really=True)
    trained = next(place.pattern for place in PLACES if not place.is_reached)
    left = [key for key in stored() if PurePath(key).suffix in SHOWING]
    assert [name for name in left if not re.match(trained, name) and not name.startswith("test/")] == []
    assert Erasure.objects.count() == 2


def check_what_was_made_of_them(report: dict[str, Any], export: Export) -> None:
    """Exports, sets and models that hold them, or learned from them."""
    storage = site_storage()
    assert Export.objects.get().withdrawn and not list(storage.list(export.folder))
    assert report["exports_withdrawn"] == [str(export)]
    learned = TrainingSet.objects.get()
    assert report["training_sets_withdrawn"] == [learned.pk] and learned.withdrawn
    assert not list(storage.list(learned.folder))
    trained_on_clips = ModelVersion.objects.get(run__training_set=learned)
    assert trained_on_clips.name in report["models_trained_on_them"]
    assert report["sets_removed"] == ["datasets/spring", "sets/spring"]
    assert all(
        json.loads(content(f"{run.folder}/request.json")) for run in Run.objects.exclude(stage="prompts")
    )
