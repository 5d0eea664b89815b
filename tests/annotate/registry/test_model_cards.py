"""What a model is given out with."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.conf import settings

from annotate.models import Job, ModelVersion
from generator.adapter_files import ADAPTER_FILE, COMFYUI_FILE
from tests.annotate.conftest import browser_of, store_clips
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_model
from tests.versions import judged_round, train

pytestmark = pytest.mark.django_db


def store(version: ModelVersion, **files: bytes) -> None:
    folder = settings.STORAGE_ROOT / version.adapter_path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)


@pytest.fixture
def line():
    """A version that stands on another one."""
    child = train(judged_round())
    grandchild = train(judged_round(policy=child))
    for number, one in enumerate((child, grandchild)):
        store(one, pytorch_lora_weights=b"diffusers %d" % number * 1000, comfyui=b"comfyui %d" % number)
    return child, grandchild


@pytest.mark.parametrize(("form", "file"), [("diffusers", ADAPTER_FILE), ("comfyui", COMFYUI_FILE)])
def test_the_whole_line_is_given_out_in_order(lea, line, form, file):
    answer = browser_of(lea).get(f"/models/{line[1].pk}/download/{form}/")
    content = b"".join(answer.streaming_content)
    assert int(answer.headers["Content-Length"]) == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        *adapters, card = archive.namelist()
        assert adapters == [f"0{n}-{one.name}.safetensors" for n, one in enumerate(line, start=1)]
        for name, one in zip(adapters, line, strict=True):
            assert archive.read(name) == (settings.STORAGE_ROOT / one.adapter_path / file).read_bytes()
        assert card == "README.md"
        assert f"in this order: {line[0].name}, {line[1].name}" in archive.read(card).decode()


def test_adapters_come_from_either_storage(lea, either_storage):
    round = judged_round()
    store_clips(either_storage)
    version = train(round)
    address = f"/models/{version.pk}/download/comfyui/"
    assert "is gone" in browser_of(lea).get(address, follow=True).content.decode()
    either_storage.put(f"{version.adapter_path}/{ADAPTER_FILE}", b"diffusers")
    page = browser_of(lea).get(address, follow=True).content.decode()
    assert f"{version.adapter_path} {version.adapter_path}/{COMFYUI_FILE}" in page
    either_storage.put(f"{version.adapter_path}/{COMFYUI_FILE}", b"comfyui")
    with zipfile.ZipFile(io.BytesIO(b"".join(browser_of(lea).get(address).streaming_content))) as archive:
        assert archive.read(f"01-{version.name}.safetensors") == b"comfyui"


def test_the_card_tells_votes_and_names_nobody(lea, line):
    _, version = line
    card = browser_of(lea).get(f"/models/{version.pk}/card/").content.decode()
    assert "4 votes of people, 4 of simulated annotators; 8 annotators together" in card
    assert "Raw agreement on identity (share of pairs of votes that are equal): 1.000" in card
    assert "2 pairs of videos of 2 people" in card and "CC0-1.0: 2 pairs" in card
    assert "Consent to train today: 2 pairs" in card and "Not evaluated" in card
    assert version.export.content_hash in card and "must not be used for" in card
    pairs = version.export.pairs.select_related("pair__instance__group")
    for name in (pair.pair.instance.group.name for pair in pairs):
        assert name not in card


@pytest.mark.parametrize("what", ["download/diffusers/", "card/"])
def test_the_card_of_many_pairs_is_written_by_a_worker(lea, line, monkeypatch, what):
    monkeypatch.setattr("annotate.registry.views.QUICK_PAIRS", 1)
    address, browser = f"/models/{line[1].pk}/{what}", browser_of(lea)
    waiting = browser.get(address)
    job = do_jobs()
    assert waiting.url == f"/jobs/{job.pk}/" and job.link == address
    answer = browser.get(address)
    assert answer.status_code == 200 and Job.objects.count() == 1
    given_out = b"".join(answer) if answer.streaming else answer.content
    assert b"must not be used for" in given_out or given_out.startswith(b"PK")


def test_what_cannot_be_given_out_says_why(lea, line):
    child, _ = line
    browser = browser_of(lea)
    (settings.STORAGE_ROOT / child.adapter_path / COMFYUI_FILE).unlink()
    page = browser.get(f"/models/{child.pk}/download/comfyui/", follow=True).content.decode()
    assert "python -m generator.model.lora" in page
    (settings.STORAGE_ROOT / child.adapter_path / ADAPTER_FILE).unlink()
    page = browser.get(f"/models/{child.pk}/download/diffusers/", follow=True).content.decode()
    assert "is gone" in page
    imported = make_model()
    page = browser.get(f"/models/{imported.pk}/download/diffusers/", follow=True).content.decode()
    assert imported.name in page and "no LoRA" in page
    assert browser.get(f"/models/{child.pk}/download/pickle/").status_code == 404


@pytest.mark.parametrize("what", ["download/diffusers/", "download/comfyui/", "card/"])
def test_models_are_given_to_leads_only(ana, line, what):
    address = f"/models/{line[1].pk}/{what}"
    assert browser_of(None).get(address).status_code == 302
    assert browser_of(ana).get(address).status_code == 404
