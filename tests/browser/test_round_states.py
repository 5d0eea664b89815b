"""A lead pauses, closes and reopens a round, and reads first what that means."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from annotate.judging.slots import lease_slot
from annotate.models import User
from rlhf.records import Track
from tests.browser.conftest import Visit
from tests.factories import make_instance, make_pair, make_round, make_user


def check(page: Page, axe: Axe) -> None:
    faults = axe.run(page).response["violations"]
    assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def test_a_round_is_paused_closed_and_reopened(visit: Visit, lea: User) -> None:
    round = make_round(votes_wanted=2, name="spring")
    for _ in range(3):
        make_pair(round, make_instance(num_references=2))
    lease_slot(make_user("ana"), Track.IDENTITY)
    page, axe = visit(lea, f"/rounds/{round.pk}/", viewport={"width": 1440, "height": 900}), Axe()
    check(page, axe)
    for link, state, says in (
        ("Pause", "paused", "they are asked for again once you reopen it"),
        ("Close", "closed", "The round waits for them no longer"),
        ("Reopen", "open", "Annotators are given pairs of this round again"),
    ):
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_text(says)).to_be_visible()
        check(page, axe)
        round.refresh_from_db()
        assert round.state != state, "a look changes nothing"
        page.get_by_role("button", name=f"{link} the round").click()
        expect(page.get_by_text(f"spring is {state}.")).to_be_visible()
        round.refresh_from_db()
        assert round.state == state
    check(page, axe)
