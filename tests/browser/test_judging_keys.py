"""Keys can be changed, and everything is there for those who do not see or do not point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotate.judging.pair_views import guideline_version
from annotate.judging.views import guidelines_of
from annotate.models import Judgment, User
from rlhf.records import Track, Verdict
from tests.browser.conftest import Visit
from tests.browser.judging_page import JudgingPage
from tests.factories import make_instance, make_pair

Judge = Callable[..., JudgingPage]


def test_it_changes_keys_and_refuses_one_that_is_taken(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    says = judging.page.locator("#keys [role=status]")
    judging.press("?")
    judging.page.locator("#keys [data-key=tie]").focus()
    judging.press("Enter", "2")
    expect(says).to_contain_text("2 is taken: right is better")
    judging.press("Tab")
    expect(says).to_contain_text("Tab is kept")
    judging.press("t")
    expect(says).to_contain_text("is on T now")
    judging.press("Escape")
    expect(judging.page.locator("#keys")).to_be_hidden()
    judging.press("3")
    assert judging.choice == ""
    judging.press("t")
    assert judging.choice == "tie"
    assert judging.page.locator("label[data-key=tie] kbd").inner_text() == "T"

    judging.page.reload()
    judging.wait_until_ready()
    judging.press("Escape", "t")
    assert judging.choice == "tie"
    judging.press("Escape", "?")
    judging.page.get_by_role("button", name="Usual keys").click()
    judging.press("Escape", "3")
    assert judging.choice == "tie"


def test_letters_can_be_switched_off_and_digits_can_submit(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press("?")
    judging.page.get_by_label("Letters are keys, too").uncheck()
    judging.page.get_by_label("Keys of answers submit at once").check()
    judging.press("Escape", "g")
    expect(judging.page.locator("[data-cell=reference]")).to_be_hidden()
    judging.press("4")
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.get().verdict == Verdict.BOTH_BAD


def test_it_shows_the_guidelines_first_and_on_request(visit: Visit, ana: User) -> None:
    make_pair()
    page = visit(ana, "/judge/identity/", is_new=True)
    guide = page.locator("#guidelines")
    expect(guide).to_be_visible()
    expect(guide).to_contain_text(guideline_version(guidelines_of(Track.IDENTITY)))
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("#task[data-ready]")
    expect(guide).to_be_hidden()
    page.keyboard.press("h")
    expect(guide).to_be_visible()


def test_typing_a_note_presses_no_key(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press("1", "n")
    judging.page.keyboard.type("2 gulls? (3)")
    judging.press("Escape")
    assert judging.choice == "left"
    judging.page.reload()
    judging.wait_until_ready()
    judging.press("Enter")
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.get().note == "2 gulls? (3)"


@pytest.mark.parametrize("track", list(Track))
def test_axe_finds_no_serious_fault(judge: Judge, ana: User, track: str) -> None:
    make_pair(None, make_instance(background="a forest"))
    judging = judge(ana, track)
    axe = Axe()
    for keys in ((), ("0",), ("1", "e"), ("Escape", "h"), ("Escape", "?")):
        judging.press(*keys)
        for scheme in ("light", "dark"):
            judging.page.emulate_media(color_scheme=scheme)
            serious = [
                (fault["id"], [node["html"][:120] for node in fault["nodes"]])
                for fault in axe.run(judging.page).response["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
            assert not serious, (keys, scheme, serious)
