"""The numbers for leads in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotate.exports.freezing import export_round
from annotate.models import User
from annotate.quality.vote_statistics import compute_round
from tests.annotate.planted_votes import judge_all, left, truthful
from tests.browser.conftest import Visit
from tests.factories import make_round, make_user


def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_window(visit: Visit, lea: User) -> None:
    good, clicker = make_user("good"), make_user("clicker")
    round = make_round(votes_wanted=2)
    judge_all(round, {good: truthful, clicker: left}, num_pairs=20)
    compute_round(round)
    export_round(round)
    page, axe = visit(lea), Axe()
    for path in (
        f"/rounds/{round.pk}/numbers/",
        f"/rounds/{round.pk}/plan/?wanted=0",
        "/annotators/",
        f"/annotators/{clicker.pk}/",
        "/account/numbers/",
    ):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        faults = axe.run(page).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_lead_closes_a_flag_and_leaves_the_votes_out(visit: Visit, lea: User) -> None:
    good, clicker = make_user("good"), make_user("clicker")
    round = make_round(votes_wanted=2)
    judge_all(round, {good: truthful, clicker: left}, num_pairs=20)
    compute_round(round)
    page = visit(lea, f"/rounds/{round.pk}/numbers/")
    page.get_by_role("link", name="clicker").first.click()
    flag = page.locator("article", has_text="picks left in 100%")
    flag.get_by_label("What came of it").select_option("talk")
    flag.get_by_label("Note").fill("had the keys mixed up")
    flag.get_by_role("button", name="Close the flag").click()
    expect(page.get_by_text("had the keys mixed up")).to_be_visible()
    page.get_by_label("Reason, for the record").fill("answers left, whatever is shown")
    page.get_by_role("button", name="Disqualify").click()
    expect(page.get_by_text("These votes do not count")).to_be_visible()
    expect(page.get_by_text("20 pairs wait to be resolved again")).to_be_visible()
