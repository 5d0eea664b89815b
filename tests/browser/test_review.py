"""Pairs and votes one by one, in a real browser."""

from __future__ import annotations

from uuid import uuid4

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotate.judging.judgments import submit_judgment
from annotate.models import User
from rlhf.records import Track, Verdict
from tests.browser.conftest import Visit
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import next_slot, vote

FRAME = 5


def test_a_lead_walks_from_the_round_to_a_marked_frame_and_to_who_marked_it(visit: Visit, lea: User) -> None:
    round = make_round(votes_wanted=1)
    pair = make_pair(round, make_instance(num_references=2))
    person = make_user("ben")
    slot = next_slot(person, Track.IDENTITY)
    told = {
        "note": "the chin melts",
        "reasons": ["Something breaks"],
        "breaks": [{"side": "left", "frame": FRAME}],
    }
    submit_judgment(person, slot.lease, "right", idempotency_key=uuid4(), **told)
    vote(pair, Track.CONTROLLABILITY, Verdict.TIE)
    other = make_pair(round)
    page = visit(lea, f"/rounds/{round.pk}/")
    page.get_by_role("link", name="Pairs", exact=True).click()
    page.get_by_role("link", name=str(pair.pk), exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Pair {pair.pk}")
    expect(page.locator(".pair .needs-script")).to_be_enabled()
    page.get_by_role("button", name=f"frame {FRAME}").click()
    shown = page.evaluate(
        "() => [...document.querySelectorAll('.pair video')].map((video) => video.currentTime)"
    )
    fps = round.sampler["fps"]
    assert {int(time * fps) for time in shown} == {FRAME}
    for path in (
        f"/pairs/{pair.pk}/",
        *(f"/rounds/{round.pk}/{name}/" for name in ("pairs", "votes", "notes")),
    ):
        page.goto(path)
        faults = Axe().run(page).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.get_by_role("link", name="Something breaks").click()
    page.get_by_role("link", name="ben").click()
    page.get_by_role("link", name="Votes", exact=True).click()
    page.get_by_label("Only").select_option("told")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("the chin melts")).to_be_visible()
    page.goto(f"/pairs/{pair.pk}/")
    page.get_by_role("link", name=f"Pair {other.pk}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Pair {other.pk}")
