"""Weights that were made elsewhere: by page, API and command, looked at by a worker, refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from annotate.core.errors import RoundError
from annotate.jobs.local_worker import work_here
from annotate.models import AuditEvent, ModelVersion, Run, RunStatus, Stage
from annotate.registry.registration import queue_adapter, queue_base
from generator.adapter_files import ADAPTER_FILE
from generator.files import file_sha256
from generator.register import MAX_ABOUT, read_about
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.whole_loop import work
from tests.factories import make_model
from tests.versions import import_model

pytestmark = pytest.mark.django_db


def write_base(folder: Path, **changes: object) -> Path:
    """A folder in the Diffusers layout with weights of a few bytes."""
    index = {
        "_class_name": "WanPipeline",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None],
        "vae": ["diffusers", "AutoencoderKLWan"],
        **changes,
    }
    for part in ("scheduler", "transformer", "vae"):
        (folder / part).mkdir(parents=True)
        if part != "scheduler":
            (folder / part / "config.json").write_text("{}")
            (folder / part / "model.safetensors").write_bytes(part.encode())
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def fails(run: Run) -> str:
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and not ModelVersion.objects.filter(run=run).exists()
    return run.error


def test_a_base_is_known_by_its_weights(tmp_path):
    folder = write_base(tmp_path / "wan")
    version = import_model(folder)
    assert version.kind == "sft" and version.name == f"wan-{version.weights_sha256[:8]}"
    assert import_model(folder) == version, "looked at again"
    (folder / "notes.safetensors").write_bytes(b"no part of it")
    assert import_model(folder) == version
    (folder / "vae" / "model.safetensors").write_bytes(b"other weights")
    other = import_model(folder)
    assert other != version and AuditEvent.objects.filter(verb="import_model").count() == 2
    shutil.copytree(folder, tmp_path / "copy" / "wan")
    assert import_model(tmp_path / "copy" / "wan").name not in (version.name, other.name)


def test_a_hub_id_is_looked_for_in_the_local_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    environment = settings.RUN_ENVIRONMENT | {"HF_HUB_CACHE": str(tmp_path)}
    monkeypatch.setattr(settings, "RUN_ENVIRONMENT", environment)
    error = fails(queue_base("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "base"))
    assert "not in the local cache of the hub" in error and "hf download Wan-AI/Wan2.2" in error
    place = tmp_path / "models--Wan-AI--Wan2.2-TI2V-5B-Diffusers"
    write_base(place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    run = queue_base("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "base")
    work(run)
    version = run.model_version
    assert (version.kind, version.base_model) == ("base", "Wan-AI/Wan2.2-TI2V-5B-Diffusers")
    assert version.name.startswith("Wan2.2-TI2V-5B-Diffusers-")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "is no folder here; name one in the Diffusers layout"),
        (lambda folder: (folder / "model_index.json").unlink(), "has no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json is no JSON"),
        (lambda folder: shutil.rmtree(folder / "vae"), "has no vae/"),
        (lambda folder: (folder / "vae" / "model.safetensors").unlink(), "vae/ has no safetensors"),
        (
            lambda folder: (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet"]}'),
            "has 'no' as its transformer; a base is a Wan model",
        ),
    ],
)
def test_what_is_no_base_is_refused_in_one_line(tmp_path, spoil, says):
    folder = write_base(tmp_path / "wan")
    spoil(folder)
    error = fails(queue_base(str(folder)))
    assert says in error and str(folder) in error and "\n" not in error


@pytest.mark.parametrize("place", ["", "wan", "a/b/c", "../wan", "x" * 600, "/a\nb"])
def test_what_means_nothing_to_a_worker_is_not_queued(place, lea):
    with pytest.raises(RoundError):
        queue_base(place)
    answer = browser_of(lea).post("/models/register/", {"what": "base", "base": place, "kind": "sft"})
    assert answer.status_code == 422 and not Run.objects.exists()


def test_an_adapter_goes_on_a_version_and_is_kept(tmp_path, lea):
    pytest.importorskip("torch")
    from tests.generator.model.loras import write_lora

    base = import_model(settings.MODEL_PATH)
    file = write_lora(tmp_path / "theirs.safetensors", settings.MODEL_PATH)
    answer = browser_of(lea).post(
        "/models/register/", {"what": "adapter", "adapter": str(file), "policy": base.name}
    )
    run = Run.objects.get(policy=base)
    assert answer.headers["Location"] == f"/runs/{run.pk}/" and run.stage == Stage.REGISTER
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    version = run.model_version
    kept = settings.STORAGE_ROOT / version.adapter_path / ADAPTER_FILE
    assert version.weights_sha256 == file_sha256(kept) == file_sha256(file)
    assert version.parent == base and version.adapters() == [(version, 1.0)]
    page = browser_of(lea).get(f"/models/{version.pk}/").content.decode()
    assert "its own at 1" in page and "How training went" not in page
    assert version.name in browser_of(lea).get("/models/register/").content.decode()
    error = fails(queue_adapter(str(tmp_path / "none.safetensors"), base))
    assert "none.safetensors is not an adapter" in error
    other = make_model(base_model=str(write_base(tmp_path / "wan")))
    assert "none.safetensors" in fails(queue_adapter(str(tmp_path / "none.safetensors"), other))


def test_by_api(lea, ana):
    machine = machine_of(lea)
    answer = machine.post("/api/models/", {"base": "/models/wan", "kind": "base"}, format="json")
    assert answer.status_code == 200 and answer.json()["run"] == Run.objects.get().pk
    answer = machine.post("/api/models/", {"adapter": "/models/lora", "on": make_model().pk}, format="json")
    assert answer.status_code == 200 and Run.objects.count() == 2
    for wrong in (
        {},
        {"base": "wan"},
        {"adapter": "/a"},
        {"base": "/a", "adapter": "/b"},
        {"base": "/", "kind": "x"},
    ):
        assert machine.post("/api/models/", wrong, format="json").status_code in (400, 409), wrong
    assert machine.get("/api/models/").json()["results"][0]["adapters"] == []
    assert machine_of(ana).post("/api/models/", {"base": "/models/wan"}, format="json").status_code == 404
    run = Run.objects.first()
    assert machine.get(f"/api/runs/{run.pk}/").json()["stage"] == "register"
    assert machine_of(ana).get(f"/api/runs/{run.pk}/").status_code == 404


README = """---
license: apache-2.0
---
# Found faces

Trained on *found* data, see [the figures](../docs/figures.md) and [the paper](https://example.org/paper).

| fault | share |
| --- | --- |
| filter | 0.43 |

<script>alert(1)</script> ![a face](face.png) [run](javascript:alert(2))
"""


def test_a_model_page_shows_what_the_maker_says_and_nothing_that_runs(tmp_path, lea):
    folder = write_base(tmp_path / "wan")
    (folder / "README.md").write_text(README)
    page = browser_of(lea).get(f"/models/{import_model(folder).pk}/").content.decode()
    assert "<h3>Found faces</h3>" in page and "<em>found</em> data, see the figures and" in page
    assert '<a href="https://example.org/paper">the paper</a>' in page and "<td>0.43</td>" in page
    assert "license: apache" not in page and "figures.md" not in page
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert 'href="javascript' not in page and "<img" not in page.split("<h3>Found faces")[1]


def test_what_is_no_text_is_not_told_and_what_is_long_is_cut_and_says_so(tmp_path):
    assert read_about(tmp_path) == ""
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    assert read_about(tmp_path) == ""
    (tmp_path / "README.md").write_text("a" * (MAX_ABOUT + 1))
    told = read_about(tmp_path)
    assert told.startswith("a" * MAX_ABOUT + "\n") and f"The rest is in {tmp_path / 'README.md'}" in told
