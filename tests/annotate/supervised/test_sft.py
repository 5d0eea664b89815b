"""SFT from the site on the embedded world: what it learns from, the version, and what starts from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings

from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import evaluate_version
from annotate.jobs import runs
from annotate.jobs.local_worker import work_here
from annotate.models import (
    AuditEvent,
    IdentityGroup,
    Instance,
    ModelVersion,
    Run,
    RunStatus,
    Stage,
    TrainingSet,
    VideoSample,
)
from annotate.privacy.erasure import erase_identity
from annotate.registry.versions import start_next_round
from annotate.rounds.rounds import plan_pairs, start_round
from annotate.rounds.sampling import queue_sampling
from annotate.storage.address import FolderAddress
from annotate.supervised import queries
from annotate.supervised.preview import dry_run
from annotate.supervised.sets import queue_folder
from annotate.supervised.sft import launch_sft, queue_sft
from rlhf.sft.config import SFTConfig
from rlhf.training.instances import read_dataset
from tests.annotate.conftest import browser_of
from tests.annotate.supervised.drawn import draw_people
from tests.annotate.whole_loop import work
from tests.factories import SAMPLER
from tests.runs import end
from tests.versions import import_model

pytestmark = pytest.mark.django_db

CONFIG = {
    "steps": "2",
    "batch_size": "1",
    "rank": "2",
    "stills": "1",
    "sample_every": "2",
    "sample_steps": "1",
}


@pytest.fixture(autouse=True)
def own_storage(tmp_path, settings):
    settings.STORAGE_ROOT = tmp_path / "storage"
    settings.STORAGE = FolderAddress(settings.STORAGE_ROOT)
    settings.STORAGE_ROOT.mkdir()


@pytest.fixture
def policy(tmp_path) -> ModelVersion:
    draw_people(tmp_path / "people")
    return import_model(settings.MODEL_PATH)


def launch(policy, lead=None, **given) -> Run:
    preview = dry_run(policy, queries.chosen_now(policy, ""), CONFIG | given)
    return launch_sft(policy, preview, seen=preview.chosen.digest, accepted=True, actor=lead)


def test_what_is_looked_at_is_frozen_as_the_command_reads_it(policy):
    chosen = queries.chosen_now(policy, "")
    facts = chosen.facts
    assert (facts.num_instances, facts.num_people, facts.rates) == (2, 2, {"8": 2})
    assert facts.sizes == {"64x64, 9 frames": 2} and sum(facts.references.values()) == 2
    run = launch(policy)
    frozen = run.training_set
    read = read_dataset(settings.STORAGE_ROOT / frozen.folder)
    assert [one.instance_id for one in read] == [
        str(pk) for pk in chosen.instances.values_list("pk", flat=True)
    ]
    assert {one.id_group for one in read} == set(IdentityGroup.objects.values_list("pseudonym", flat=True))
    assert set(frozen.people.all()) == set(IdentityGroup.objects.all())
    again = launch(policy)
    assert again.training_set == frozen and again != run, "several trainings may wait at once"
    assert TrainingSet.objects.count() == 1


def test_a_version_comes_of_it_that_a_round_starts_from(policy, lea):
    pytest.importorskip("torch")
    held_out = IdentityGroup.objects.first()
    run = launch(policy, lea)
    work(run)
    version = run.model_version
    assert (version.kind, version.parent, version.base_model) == ("sft", policy, policy.base_model)
    assert version.weights_sha256 == run.result["adapter_sha256"] and version.max_tokens == policy.max_tokens
    assert run.result["num_instances"] == 2 and run.result["fps"] == 8

    page = browser_of(lea).get(f"/runs/{run.pk}/").content.decode()
    instance = Instance.objects.order_by("pk").first()
    assert "Curves" in page and instance.prompt.text in page and "learning_rate" in page
    clip = browser_of(lea).get(f"/media/runs/{run.pk}/2/{instance.pk}")
    assert clip.status_code == 200 and b"".join(clip.streaming_content)
    page = browser_of(lea).get(f"/models/{version.pk}/").content.decode()
    assert run.training_set.content_hash[:12] in page and "instances trained on" in page
    card = browser_of(lea).get(f"/models/{version.pk}/card/").content.decode()
    assert "2 instances of 2 people, with 2 target clips" in card and run.training_set.content_hash in card

    sampler = vars(SAMPLER) | {"num_inference_steps": 1}
    round = start_round("first", version, sampler=type(SAMPLER)(**sampler), votes_wanted=1)
    plan_pairs(round, Instance.objects.filter(group=held_out))
    work_here(queue_sampling(round))
    assert VideoSample.objects.exclude(path="").filter(model_version=version).count() == 2
    assert start_next_round("second", version, lea).pairs.count() == 1
    second = launch(version, lea)
    assert second.policy == version and len(second_request(second)["model"]["adapters"]) == 1


def second_request(run: Run) -> dict:
    return runs.run_dir(run).read_request()


def test_it_is_compared_with_its_parent_at_the_size_of_the_parents_round(policy, tmp_path):
    pytest.importorskip("torch")
    draw_people(tmp_path / "held-out", 1, split="eval")
    start_round("of the parent", policy)
    run = launch(policy)
    end(run, adapter="adapter", adapter_sha256="a" * 64, num_instances=2)
    evaluation = evaluate_version(ModelVersion.objects.get(run=run))
    assert evaluation.candidate == run.model_version and evaluation.round.name == "of the parent"


def test_whoever_did_not_agree_is_left_out_and_a_frozen_set_is_refused(policy, lea):
    run = launch(policy, lea)
    person = IdentityGroup.objects.order_by("name").first()
    IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=["show"])
    chosen = queries.chosen_now(policy, "")
    assert (chosen.facts.num_instances, chosen.withheld) == (1, 1) and person.name in chosen.why_withheld
    with pytest.raises(RoundError, match=f"Consent to train is refused for {person.name}"):
        queue_sft(policy, run.training_set, SFTConfig())
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and "A set that is frozen now leaves them out" in run.error


def test_nobody_who_is_held_out_is_learned_from(policy):
    IdentityGroup.objects.update(split="eval")
    preview = dry_run(policy, queries.chosen_now(policy, ""), CONFIG)
    assert preview.blocks and [one.name for one in preview.warnings] == ["no_instances"]


def test_a_folder_is_read_by_a_worker_and_its_known_people_are_asked_about(policy, tmp_path, lea):
    first = launch(policy)
    own = first.training_set
    assert runs.cancel_run(first)
    run = queue_folder(
        str(settings.STORAGE_ROOT / own.folder), licence="CC-BY-4.0", is_vouched=True, actor=lea
    )
    work(run)
    found = TrainingSet.objects.get(content_hash=run.result["content_hash"])
    assert found == own, "the same content is the same set"

    place = settings.STORAGE_ROOT / own.folder / "instances.jsonl"
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["instance_id"] = f"i{number}"
        for file in [*line["references"], line["target"]]:
            file["path"] = str((place.parent / file["path"]).resolve())
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "instances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = queue_folder(str(folder), licence="CC-BY-4.0", is_vouched=True, actor=lea)
    work(run)
    found = TrainingSet.objects.get(content_hash=run.result["content_hash"])
    assert found.is_outside and found.facts["licences"] == {"CC-BY-4.0": 2} and found.people.count() == 2
    assert found.facts["rates"] == {"8": 2} and found.facts["sizes"] == {"64x64, 9 frames": 2}
    assert "2 of them are known here" in browser_of(lea).get(f"/models/sets/{found.pk}/").content.decode()
    assert f"/models/sets/{found.pk}/" in browser_of(lea).get(f"/runs/{run.pk}/").content.decode()
    person = IdentityGroup.objects.order_by("name").first()
    IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=["show"])
    assert person.name in queries.why_no_consent(found)
    assert AuditEvent.objects.filter(verb="read_training_set", actor=lea).exists()
    IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=["train"])
    is_forgotten_with(person, found, queue_sft(policy, found, SFTConfig(), lea))


def is_forgotten_with(person: IdentityGroup, found: TrainingSet, run: Run) -> None:
    """What a training on a folder left of everybody goes with one of them, but for the folder itself."""
    clip, cached = Path(run.folder, "samples/step-0/i0.mp4"), Path(found.cache_folder, "b/x.safetensors")
    for path in (clip, cached):
        (settings.STORAGE_ROOT / path).parent.mkdir(parents=True)
        (settings.STORAGE_ROOT / path).write_bytes(b"a face")
    with pytest.raises(RoundError, match="works with files of"):
        erase_identity(person.name, really=True)
    end(run, adapter="adapter", adapter_sha256="a" * 64, num_instances=2)
    report = erase_identity(person.name, really=True)
    assert found.pk in report["training_sets_withdrawn"] and report["files_left"] == []
    assert report["models_trained_on_them"] == [ModelVersion.objects.get(run=run).name]
    assert not any((settings.STORAGE_ROOT / path).exists() for path in (clip, cached))
    assert Path(found.folder, "instances.jsonl").is_file()


@pytest.mark.parametrize(
    ("folder", "licence", "is_vouched", "says"),
    [
        ("people", "CC0", True, "folder is 'people'; give the whole path on the workers"),
        ("/data", " ", True, "licence is empty"),
        ("/data", "CC0", False, "nobody says that the people in it agreed"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(db, folder, licence, is_vouched, says):
    with pytest.raises(RoundError, match=says):
        queue_folder(folder, licence=licence, is_vouched=is_vouched)
    assert not Run.objects.filter(stage=Stage.DATASET).exists()


def test_what_is_wrong_with_a_folder_stands_on_the_runs_page(db, tmp_path, lea):
    (tmp_path / "instances.jsonl").write_text('{"instance_id": "a"}\n')
    run = queue_folder(str(tmp_path), licence="CC0", is_vouched=True, actor=lea)
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and "instances.jsonl:1" in run.error
