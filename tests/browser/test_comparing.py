"""A tuned model against its parent, opened and read in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotate.models import User
from rlhf.records import Track
from tests.annotate.compared import compared, judge
from tests.browser.conftest import Visit


def test_a_lead_opens_the_comparison_and_reads_who_won(visit: Visit, lea: User) -> None:
    round = compared(6)
    judge(round, Track.IDENTITY, {"child": 3, "parent": 1, "tie": 2})
    run = round.policy.run
    assert run is not None
    page, axe = visit(lea, f"/rounds/{run.round_id}/"), Axe()
    page.get_by_role("button", name="Compare with its parent by people").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(round.name)
    expect(page.get_by_text("6 pairs, 6 votes")).to_be_visible()
    expect(page.get_by_text("There are no pairs with a vote")).to_be_visible()
    faults = axe.run(page).response["violations"]
    assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
