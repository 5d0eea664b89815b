"""Supervised training in a real browser: a base comes in, an adapter is trained, a round starts from it."""

from __future__ import annotations

import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Page, expect

from annotate.models import ModelVersion, Run, TrainingSet, User
from annotate.rounds.rounds import start_round
from tests.annotate.supervised.drawn import draw_people
from tests.browser.conftest import Visit, follow_job
from tests.runs import end


def is_accessible(page: Page) -> None:
    faults = Axe().run(page).response["violations"]
    severe = [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in faults
        if fault["impact"] in ("serious", "critical")
    ]
    assert severe == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def look_at(base: Run) -> None:
    """What its worker does: torch is not loaded beside the browser."""
    from annotate.jobs.runs import run_dir
    from generator.register import main

    main(run_dir(base), False)
    end(base, **run_dir(base).read_result())


def learned(run: Run) -> None:
    """A training of two steps, as its worker follows it."""
    from annotate.jobs.runs import run_dir

    folder = run_dir(run)
    for step in (1, 2):
        line = {
            "step": step,
            "steps": 2,
            "loss": 1.0 / step,
            "loss/time_1": 0.5,
            "grad_norm": 1.0,
            "seconds": 1.0,
        }
        folder.append_metrics(line)
    for step in (0, 2):
        clip = (
            folder.path
            / "samples"
            / f"step-{step}"
            / f"{run.training_set.people.first().instances.first().pk}.mp4"
        )
        clip.parent.mkdir(parents=True)
        clip.write_bytes(next((settings.STORAGE_ROOT / "references").glob("*/*.mp4")).read_bytes())
    end(
        run,
        adapter="adapter",
        adapter_sha256="a" * 64,
        num_instances=2,
        steps=2,
        first_loss=1.0,
        last_loss=0.5,
        fps=8,
    )


def register_base(page: Page) -> ModelVersion:
    page.get_by_role("link", name="Register a model").click()
    is_accessible(page)
    page.get_by_label("Folder or hub id").fill("portraits")
    page.get_by_role("button", name="Register the base").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "base is 'portraits'; give the whole path on the workers"
    )
    page.get_by_label("Folder or hub id").fill(str(Path(settings.MODEL_PATH).resolve()))
    page.get_by_role("button", name="Register the base").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"register-\d+"))
    look_at(Run.objects.get())
    return ModelVersion.objects.get()


def preview_sft(page: Page, screenshots: Path) -> None:
    """The preview refuses what is no number, and nothing is made before the launch."""
    page.get_by_role("link", name="Train SFT from it").click()
    preview = page.locator("#preview")
    expect(preview.get_by_role("row", name="Instances 2")).to_be_visible()
    expect(preview).to_contain_text("2 people only: the model would learn their faces by heart")
    steps = page.get_by_label("steps", exact=True)
    steps.fill("many")
    steps.press("Tab")
    expect(preview.get_by_role("alert")).to_have_text("steps is 'many'; it must be a whole number")
    steps.fill("2")
    steps.press("Tab")
    expect(preview.get_by_role("button", name="Launch SFT")).to_be_enabled()
    assert not TrainingSet.objects.exists()
    is_accessible(page)
    page.screenshot(path=screenshots / "launch.png", full_page=True)


def launch_and_follow(page: Page, screenshots: Path) -> None:
    page.get_by_label("I have read").check()
    page.get_by_role("button", name="Launch SFT").click()
    follow_job(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"sft-\d+"))
    learned(Run.objects.get(stage="sft"))
    expect(page.locator("#live .state")).to_have_text("done")
    expect(page.get_by_role("heading", name="Curves")).to_be_visible()
    page.reload()
    expect(page.get_by_role("figure").filter(has_text="parent")).to_be_visible()
    is_accessible(page)
    page.screenshot(path=screenshots / "run.png", full_page=True)


def mix_with_half_weight(page: Page, version: ModelVersion, screenshots: Path) -> None:
    page.get_by_role("link", name=version.name).click()
    is_accessible(page)
    page.screenshot(path=screenshots / "version.png", full_page=True)
    page.get_by_role("link", name="Mix adapters").click()
    is_accessible(page)
    page.get_by_label(f"Weight of {version.name}").fill("0.5")
    page.get_by_label("Name").fill("half")
    page.get_by_role("button", name="Make the mix").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("half")


def open_set_and_models(page: Page, version: ModelVersion, screenshots: Path) -> None:
    page.goto(f"/models/sets/{TrainingSet.objects.get().pk}/")
    expect(page.get_by_role("link", name=version.name)).to_be_visible()
    is_accessible(page)
    page.screenshot(path=screenshots / "set.png", full_page=True)
    page.goto("/models/")
    page.screenshot(path=screenshots / "models.png", full_page=True)
    page.goto("/models/register/")
    page.screenshot(path=screenshots / "register.png", full_page=True)


def test_a_lead_brings_a_base_in_trains_on_people_and_starts_a_round(
    visit: Visit, lea: User, tmp_path: Path
) -> None:
    draw_people(tmp_path / "people")
    page = visit(lea, "/models/", viewport={"width": 1280, "height": 720})
    base = register_base(page)
    page.get_by_role("link", name=base.name).click()
    start_round("spring", base)
    preview_sft(page, tmp_path)
    launch_and_follow(page, tmp_path)
    version = ModelVersion.objects.get(kind="sft", parent=base)
    mix_with_half_weight(page, version, tmp_path)
    open_set_and_models(page, version, tmp_path)
    page.goto(f"/models/{version.pk}/")
    page.get_by_label("Name").fill("from the trained one")
    page.get_by_role("button", name="Start the round").click()
    follow_job(page)
    expect(page.get_by_role("heading", level=1, name="from the trained one")).to_be_visible()
