"""The lead's pages in a real browser."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from annotate.models import Run, RunMetric, RunStatus, Stage, User
from tests.browser.conftest import Visit, sign_in
from tests.factories import make_pair, make_round


def test_it_follows_a_run_without_loading_the_page_again(visit: Visit, lea: User) -> None:
    round = make_round()
    make_pair(round)
    now = timezone.now()
    run = Run.objects.create(
        round=round,
        stage=Stage.DPO,
        ordinal=1,
        folder="runs/test",
        status=RunStatus.RUNNING,
        heartbeat_at=now,
    )
    page = visit(lea, f"/rounds/{round.pk}/")
    page.evaluate("() => { window.sameDocument = true; }")
    for step in (1, 2):
        RunMetric.objects.create(
            run=run, line=step, values={"step": step, "steps": 8, "loss": 0.7 - step / 10}
        )
    expect(page.locator(".run")).to_contain_text("2 of 8")
    expect(page.locator(".curve").first).to_contain_text("0.5000")

    Run.objects.update(
        status=RunStatus.FAILED, error="no memory left", started_at=now, ended_at=now + timedelta(minutes=3)
    )
    expect(page.locator(".run .problem")).to_have_text("no memory left")
    expect(page.get_by_role("button", name="Try dpo-1 again")).to_be_visible()
    assert page.evaluate("() => window.sameDocument")
    assert page.locator("#progress[hx-trigger]").count() == 0, "a page where nothing is live still asks"


def test_it_shows_the_pairs_of_a_round_in_step(visit: Visit, lea: User) -> None:
    pair = make_pair()
    page = visit(lea, f"/rounds/{pair.round.pk}/")
    page.locator(".pair").scroll_into_view_if_needed()
    button = page.locator(".pair button")
    expect(button).to_have_text("Pause")
    button.click()
    expect(button).to_have_text("Play")
    times = page.evaluate(
        "() => [...document.querySelectorAll('.pair video')].map((video) => video.currentTime)"
    )
    assert times[0] == times[1]


def test_it_makes_an_account_whose_password_works(visit: Visit, lea: User) -> None:
    page = visit(lea, "/accounts/")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Make account").click()
    password = page.locator(".secret").inner_text()
    page.get_by_label("Name").fill("ada")
    page.get_by_role("button", name="Make account").click()
    expect(page.get_by_role("alert")).to_contain_text("taken")

    page = visit(None, "/login/")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would you like to judge?")


def test_it_shows_leads_every_page_and_hides_them_from_annotators(visit: Visit, lea: User, ana: User) -> None:
    round = make_pair().round
    paths = ("/rounds/", f"/rounds/{round.pk}/", "/people/", "/accounts/")
    page = visit(lea)
    for path in paths:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("nav [aria-current=page]")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/")
    sign_in(page, ana)
    expect(page.get_by_role("link", name="Rounds")).to_have_count(0)
    for path in paths:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
