"""Launching Flow-DPO in a real browser: the look follows the form, and what was looked at starts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from annotate.jobs import run_workers, runs
from annotate.models import Export, Round, Run, RunStatus, User
from rlhf.records import Track, Verdict
from tests.annotate.jobs_done import do_jobs
from tests.browser.conftest import Visit, follow_job
from tests.factories import make_pair, make_round
from tests.votes import vote


def judged_round() -> Round:
    round = make_round(dpo={"beta": 60.0})
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    return round


def launch(page: Page) -> None:
    """Launch what the form says, and go to the run once the worker of jobs has queued it."""
    page.get_by_label("I have read").check()
    page.get_by_role("button", name="Launch Flow-DPO").click()
    follow_job(page)


def test_the_look_follows_the_form(visit: Visit, lea: User) -> None:
    round = judged_round()
    page = visit(lea, f"/rounds/{round.pk}/")
    page.get_by_role("link", name="Check and launch Flow-DPO").click()
    look = page.locator("#preview")
    expect(look).to_contain_text("beta 60 (Flow-DPO and Diffusion-DPO would call it 120)")

    beta = page.get_by_label("beta", exact=True)
    beta.fill("strong")
    beta.press("Tab")
    expect(look.get_by_role("alert")).to_have_text("beta is 'strong'; it must be a number")
    beta.fill("300")
    beta.press("Tab")
    expect(look.get_by_role("button", name="Launch Flow-DPO")).to_be_enabled()
    expect(look).not_to_contain_text("beta")
    assert not Export.objects.exists()

    launch(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("dpo-1")
    run = Run.objects.get()
    assert runs.run_dir(run).read_request()["config"]["beta"] == 300

    runs.cancel_run(run)
    expect(page.locator("#live .state")).to_have_text("cancelled")
    assert page.locator("#live[hx-trigger]").count() == 0, "a run that has ended is asked for again"


def test_a_look_that_a_worker_takes_appears_when_it_is_there(
    visit: Visit, lea: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotate.training.queries.QUICK_PAIRS", 0)
    page = visit(lea, f"/rounds/{judged_round().pk}/launch/")
    look = page.locator("#preview")
    expect(look).to_contain_text("waits for a worker")
    do_jobs()
    expect(look.get_by_role("button", name="Launch Flow-DPO")).to_be_visible()
    monkeypatch.setattr("annotate.people.threshold_views.QUICK_REFERENCES", -1)
    page.goto("/people/thresholds/")
    expect(page.locator("#main")).to_contain_text("waits for a worker")
    do_jobs()
    expect(page.locator("#main")).to_contain_text("0 curated references")


def test_the_form_offers_the_devices_that_workers_have(visit: Visit, lea: User) -> None:
    run_workers.announce("runs@trainer-1", 8, "NVIDIA H200")
    run_workers.announce("runs@trainer-2", 2, "CPU")
    page = visit(lea, f"/rounds/{judged_round().pk}/launch/")
    devices, look = page.get_by_label("devices", exact=True), page.locator("#preview")
    offered = devices.locator("option").all_inner_texts()
    assert offered[1:3] == ["2 on trainer-1, trainer-2", "3 on trainer-1"] and len(offered) == 8
    devices.select_option("8")
    expect(look).to_contain_text("64, on 8 devices")
    launch(page)
    expect(page.locator("#live")).to_contain_text("a GPU worker with 8 devices takes it next")


@pytest.mark.parametrize("width", [1440, 1280])
def test_all_settings_stay_beside_the_look(visit: Visit, lea: User, width: int) -> None:
    page = visit(lea, f"/rounds/{judged_round().pk}/launch/")
    page.set_viewport_size({"width": width, "height": 720})
    page.get_by_text("more settings").click()
    settings, look = page.locator("form.settings"), page.locator("#preview")
    for table in settings.locator(".scroll").all():
        box, beside = table.bounding_box(), look.bounding_box()
        assert box and beside
        below = box["y"] + box["height"] <= beside["y"]
        assert below or box["x"] + box["width"] <= beside["x"], "a table lies under the look"
        assert table.evaluate("table => table.scrollWidth <= table.clientWidth"), "a column is cut off"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_works_without_javascript(visit: Visit, lea: User) -> None:
    round = judged_round()
    page = visit(lea, f"/rounds/{round.pk}/launch/", java_script_enabled=False)
    page.get_by_label("steps", exact=True).fill("7")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_label("steps", exact=True)).to_have_value("7")
    launch(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("dpo-1")
    run = Run.objects.get()
    assert run.status == RunStatus.QUEUED
    assert runs.run_dir(run).read_request()["config"]["steps"] == 7
