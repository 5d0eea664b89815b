"""A person goes from a bucket as from a folder: files of theirs, and what runs say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from annotate.models import FileRemoval, Reference
from annotate.people.queries import annotation_path
from annotate.privacy.erasure import erase_identity
from annotate.privacy.file_removal import carry_out, remove_after_commit
from annotate.rounds.display_copies import write_missing_copies
from annotate.storage.leased_copies import LEASED, leased_address
from annotate.storage.opening import site_storage
from tests.factories import make_group, make_instance, make_pair

pytestmark = pytest.mark.django_db(transaction=True)


def own_files(pair) -> list[str]:
    """Give a pair's person files of their own: in tests, clips are shared."""
    drawn: Path = settings.STORAGE_ROOT
    found = []
    for number, reference in enumerate(Reference.objects.filter(group=pair.instance.group)):
        folder = f"references/{pair.pk:031x}{number}"
        for column, name in (("path", "media.mp4"), ("poster", "poster.png")):
            found.append(f"{folder}/{name}")
            site_storage().put(found[-1], drawn / getattr(reference, column))
            setattr(reference, column, found[-1])
        reference.sha256 = f"{pair.pk:062x}{number:02x}"
        reference.save()
        found.append(annotation_path(reference))
        site_storage().put(found[-1], b"{}")
    for sample in (pair.first, pair.second):
        found.append(f"runs/round-{pair.round_id}/sample-1/samples/{sample.pk}.mp4")
        site_storage().put(found[-1], drawn / sample.path)
        sample.path, sample.shown_path = found[-1], ""
        sample.save()
    return found


def keys() -> set[str]:
    return {item.key for item in site_storage().list(with_partial=True)}


def test_all_of_one_person_goes_and_all_of_another_stays(either_storage):
    mia, tom = (make_pair(instance=make_instance(make_group(name=name))) for name in ("mia", "tom"))
    hers, his = own_files(mia), own_files(tom)
    assert write_missing_copies(at_most=10) == 4
    for pair, found in ((mia, hers), (tom, his)):
        for sample in (pair.first, pair.second):
            sample.refresh_from_db()
            assert either_storage.exists(sample.shown_path)
            found.append(sample.shown_path)
    request = f"runs/round-{mia.round_id}/sample-1/request.json"
    samples = [{"sample_id": str(pair.first_id)} for pair in (mia, tom)]
    either_storage.put(request, json.dumps({"samples": samples}).encode())
    half = f"runs/round-{mia.round_id}/sample-1/samples/.{mia.first_id}.half.mp4"
    either_storage.put(half, b"half")
    if either_storage.name.startswith("s3:"):
        leased_address(either_storage, mia.first.shown_path, "a lease", 60)
    assert keys() >= {*hers, *his, half, request}
    report = erase_identity("mia", really=True)
    assert (report["files_left"], report["records_struck"]) == ([], 1)
    assert keys() & {*hers, half} == set() and keys() >= {*his, request}
    assert [key for key in keys() if key.startswith(LEASED)] == []
    assert json.loads(b"".join(either_storage.stream(request))) == {"samples": [samples[1]]}
    assert erase_identity("mia", really=True)["files_left"] == [], "again, it changes nothing"


def test_what_a_storage_refuses_stays_written_down_and_is_done_later(either_storage, monkeypatch):
    either_storage.put("gold/somebody.mp4", b"a face")

    def refuse(paths):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(either_storage, "remove", refuse)
    with transaction.atomic():
        remove_after_commit(["gold/somebody.mp4"])
    assert FileRemoval.objects.get().error == "Permission denied"
    assert either_storage.exists("gold/somebody.mp4")
    monkeypatch.undo()
    assert carry_out().done == 1 and not either_storage.exists("gold/somebody.mp4")
