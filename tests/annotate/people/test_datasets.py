"""Datasets: out of one database and into another, with everything and nothing twice."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference, Use
from annotate.people.dataset_import import import_dataset
from annotate.people.datasets import export_dataset
from annotate.people.instances import build_instances
from generator.dataset.manifest import Manifest
from generator.files import file_sha256
from generator.frozen_table import read_table, rows_sha256
from generator.instances import Draw
from generator.records import ReferenceKind
from generator.rundir import RunDir
from rlhf.training.instances import read_dataset
from tests.annotate.described_people import import_described
from tests.runs import run

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def people(tmp_path: Path) -> None:
    """Two people with whole and cropped instances, some with targets; one prompt was edited."""
    import_described(tmp_path / "people", consent_expires_on=str(timezone.localdate()))
    mia = IdentityGroup.objects.get(name="mia")
    mia.primary = mia.references.get(source_name="body.png")
    mia.save()
    build_instances(Draw(count=2, seed=0))
    build_instances(Draw(count=2, seed=0, with_target=True, is_cropped=True))
    instance = Instance.objects.first()
    edited = DifferentialPrompt.objects.create(
        text="Better words.", elements=instance.prompt.elements, method="edited", supersedes=instance.prompt
    )
    Instance.objects.filter(pk=instance.pk).update(prompt=edited)


def forget() -> None:
    """An empty database, as on another machine."""
    IdentityGroup.objects.all().delete()
    assert not Reference.objects.exists() and not Instance.objects.exists()


def test_there_and_back_is_the_same_dataset(people, tmp_path):
    exported = export_dataset(tmp_path / "one")
    assert (exported.num_people, exported.num_references, exported.num_instances) == (2, 10, 8)
    assert (exported.num_training_instances, exported.left_out) == (4, {})
    body = Reference.objects.get(group__name="mia", source_name="body.png")
    mias = body.group.pseudonym
    forget()
    with CaptureQueriesContext(connection) as captured:
        report = import_dataset(tmp_path / "one")
    assert len(captured) <= 36, "statements are of batches, not of rows"
    assert dict(report.new) == {"people": 2, "references": 10, "instances": 8}
    assert (dict(report.known), report.left_out, report.refused) == ({}, [], 0)
    assert export_dataset(tmp_path / "two") == exported
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
    mia = IdentityGroup.objects.get(pseudonym=mias)
    assert (mia.name, mia.primary.source_name) == (mias, f"{body.source_sha256[:16]}.png")
    assert (mia.licence, mia.consent_uses) == ("CC-BY-4.0", Use.values)
    assert mia.consent_stated_in == f"dataset {exported.content_hash[:16]}"
    edited = Instance.objects.get(prompt__text="Better words.").prompt
    assert edited.supersedes.method == "drawn from the portrait vocabulary"
    for row in [*Reference.objects.all(), *InstanceReference.objects.exclude(path="")]:
        assert file_sha256(settings.STORAGE_ROOT / row.path) == row.sha256
        assert (settings.STORAGE_ROOT / row.poster).is_file()


def test_importing_twice_adds_nothing(people, tmp_path):
    export_dataset(tmp_path / "set")
    report = import_dataset(tmp_path / "set")
    assert (dict(report.new), dict(report.known)) == ({}, {"people": 2, "references": 10, "instances": 8})
    forget()
    import_dataset(tmp_path / "set")
    before = DifferentialPrompt.objects.count(), len(list(settings.STORAGE_ROOT.rglob("*")))
    report = import_dataset(tmp_path / "set")
    assert (dict(report.new), report.left_out) == ({}, [])
    assert (DifferentialPrompt.objects.count(), len(list(settings.STORAGE_ROOT.rglob("*")))) == before


def test_consent_that_ended_is_left_out_and_counted(people, tmp_path):
    yesterday = timezone.localdate() - timedelta(days=1)
    export_dataset(tmp_path / "before")
    IdentityGroup.objects.filter(name="mia").update(consent_expires_on=yesterday)
    manifest = export_dataset(tmp_path / "after")
    assert (manifest.num_people, manifest.num_references) == (1, 5)
    assert manifest.left_out == {"people without consent to publish": 1}
    mias = IdentityGroup.objects.get(name="mia").pseudonym
    assert mias not in (tmp_path / "after/instances.jsonl").read_text()
    IdentityGroup.objects.update(consent_expires_on=yesterday)
    with pytest.raises(ValueError, match="Consent to publish has ended for mia, tom; renew it"):
        export_dataset(tmp_path / "none")


def test_consent_that_ended_since_the_export_is_not_imported(people, tmp_path, monkeypatch):
    export_dataset(tmp_path / "set")
    forget()
    tomorrow = timezone.localdate() + timedelta(days=1)
    monkeypatch.setattr("annotate.people.dataset_import.today", lambda: tomorrow)
    report = import_dataset(tmp_path / "set")
    assert (report.refused, dict(report.new)) == (2, {})
    assert not IdentityGroup.objects.exists()


def as_format_1(folder: Path) -> None:
    """The dataset as 0.1.0 wrote it: people by name, and a free text on their consent."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    named = dict(IdentityGroup.objects.values_list("pseudonym", "name"))
    hashes = {}
    for table in ("people", "references", "instances"):
        path = folder / f"{table}.parquet"
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["person"] = named[row["person"]]
            if table == "people":
                del row["consent"]
                row["consent_scope"] = "research, no training"
        pq.write_table(pa.Table.from_pylist(rows), path)
        hashes[table] = rows_sha256(read_table(path, ""))
    facts = json.loads((folder / "manifest.json").read_text())
    facts |= {"rows_sha256": hashes, "format": "anyid-dataset-1", "content_hash": ""}
    Manifest(**facts).write(folder)


def test_a_dataset_of_the_first_format_says_nothing_of_uses(people, tmp_path):
    export_dataset(tmp_path / "set")
    as_format_1(tmp_path / "set")
    report = import_dataset(tmp_path / "set")
    assert (dict(report.new), report.left_out) == ({}, []), "what is stated here stands"
    assert IdentityGroup.objects.get(name="mia").consent_uses == Use.values
    forget()
    assert dict(import_dataset(tmp_path / "set").new) == {"people": 2, "references": 10, "instances": 8}
    for person in IdentityGroup.objects.filter(name__in=["mia", "tom"]):
        assert (person.consent_uses, person.consent_note) == (None, "research, no training")
    with pytest.raises(ValueError, match="Consent to publish is not stated for mia, tom"):
        export_dataset(tmp_path / "again")


def test_a_dataset_states_what_nobody_had_stated_here(people, tmp_path):
    export_dataset(tmp_path / "set")
    unknown = {"consent_uses": None, "consent_stated_in": "", "consent_stated_at": None}
    IdentityGroup.objects.filter(name="mia").update(**unknown, consent_expires_on=None)
    IdentityGroup.objects.filter(name="tom").update(consent_uses=["publish"])
    (problem,) = import_dataset(tmp_path / "set").left_out
    assert "has consent_uses ['publish'] here and ['show', 'train', 'evaluate', 'publish']" in problem.detail
    mia = IdentityGroup.objects.get(name="mia")
    assert (mia.consent_uses, mia.consent_expires_on) == (Use.values, timezone.localdate())
    assert IdentityGroup.objects.get(name="tom").consent_uses == ["publish"]


def test_rejected_references_and_what_shows_them_stay_here(people, tmp_path):
    rejected = Reference.objects.filter(source_name="one.mp4", group__name="mia")
    shown = Instance.objects.filter(places__reference__in=rejected).distinct().count()
    assert shown > 0
    rejected.update(reject_reasons=["blurred"])
    manifest = export_dataset(tmp_path / "set")
    assert manifest.left_out == {"rejected references": 1, "instances of rejected references": shown}
    assert (manifest.num_references, manifest.num_instances) == (9, 8 - shown)


def test_damaged_files_are_listed_and_the_rest_is_taken_over(people, tmp_path):
    export_dataset(tmp_path / "set")
    media = tmp_path / "set" / "media"
    mia = Reference.objects.filter(group__name="mia").order_by("sha256")
    altered, missing = (next(media.glob(f"{item.sha256}.*")) for item in mia[:2])
    crops = InstanceReference.objects.filter(instance__group__name="tom").exclude(path="")
    crop = next(media.glob(f"{crops.first().sha256}.*"))
    hurt = {altered.name: "altered", missing.name: "missing"}
    touched = Instance.objects.filter(places__reference__in=list(mia[:2])) | Instance.objects.filter(
        places__sha256=crops.first().sha256
    )
    lost = set(touched.values_list("digest", flat=True))
    forget()
    folders = set(settings.STORAGE_ROOT.glob("references/*"))
    altered.write_bytes(altered.read_bytes() + b"x")
    missing.unlink()
    crop.write_bytes(b"")
    report = import_dataset(tmp_path / "set")
    found = {item.path: str(item.reason) for item in report.left_out}
    assert {Path(path).name: reason for path, reason in found.items() if "/" in path} == hurt
    assert {path for path in found if "/" not in path} == lost
    assert dict(report.new) == {"people": 2, "references": 8, "instances": 8 - len(lost)}
    assert len(set(settings.STORAGE_ROOT.glob("references/*")) - folders) == 8, "nothing is left of the two"


def test_a_repaired_dataset_fills_only_what_was_missing(people, tmp_path):
    export_dataset(tmp_path / "set")
    file = next((tmp_path / "set/media").glob(f"{Reference.objects.first().sha256}.*"))
    content = file.read_bytes()
    forget()
    file.unlink()
    missing = import_dataset(tmp_path / "set").left_out
    file.write_bytes(content)
    report = import_dataset(tmp_path / "set")
    assert dict(report.new) == {"references": 1, "instances": len(missing) - 1}
    assert report.left_out == []


def test_nobody_changes_split_or_consent_by_an_import(people, tmp_path):
    export_dataset(tmp_path / "set")
    Instance.objects.filter(group__name="tom").delete()
    IdentityGroup.objects.filter(name="tom").update(split="eval")
    report = import_dataset(tmp_path / "set")
    (problem,) = report.left_out
    toms = IdentityGroup.objects.get(name="tom").pseudonym
    assert (problem.path, problem.reason) == (f"tests/{toms}", "bad_card")
    assert "has split 'eval' here and 'train' in the dataset" in problem.detail
    assert IdentityGroup.objects.get(name="tom").split == "eval"
    assert not Instance.objects.filter(group__name="tom").exists()


def test_the_commands_say_what_they_did(people, tmp_path):
    exported = run("export_dataset", tmp_path / "set")
    assert exported["num_people"] == 2
    imported = run("import_dataset", tmp_path / "set")
    assert imported["content_hash"] == exported["content_hash"]
    assert (imported["new"], imported["left_out"]) == ({}, [])
    assert run("export_dataset", tmp_path / "train", "--split", "train")["num_people"] == 2
    with pytest.raises(CommandError, match="nobody to export"):
        call_command("export_dataset", str(tmp_path / "eval"), "--split", "eval")
    with pytest.raises(CommandError, match="is no dataset: it has no manifest.json"):
        call_command("import_dataset", str(tmp_path))


@pytest.mark.slow
def test_a_supervised_run_learns_from_a_dataset(people, tmp_path):
    """Two steps on the shipped model, by what `python -m rlhf.sft` calls."""
    pytest.importorskip("diffusers")
    from rlhf.sft.run import main

    export_dataset(tmp_path / "set")
    instances = read_dataset(tmp_path / "set")
    assert len(instances) == 4
    assert {kind for item in instances for _, kind in item.references} <= set(ReferenceKind)
    folder = RunDir(tmp_path / "run")
    folder.create(
        {
            "stage": "sft",
            "model": {"base": str(Path(settings.MODEL_PATH).resolve()), "adapters": []},
            "dataset": "../set",
            "config": {"steps": 2, "batch_size": 1, "rank": 2, "sample_every": 0, "save_every": 2}
            | {"sample_count": 1, "sample_steps": 1},
        }
    )
    main(folder, False)
    result = folder.read_result()
    assert (result["steps"], result["num_instances"]) == (2, 4)
    assert (
        result["dataset_sha256"]
        == json.loads((tmp_path / "set/manifest.json").read_text())["training_sha256"]
    )
