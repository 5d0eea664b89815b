"""Votes survive a browser that keeps nothing: its storage full, or blocked."""

from __future__ import annotations

import pytest
from playwright.sync_api import Dialog, Page, expect

from annotate.models import Judgment, StudyAnswer, User
from tests.browser.conftest import Visit, sign_in
from tests.browser.judging_page import JudgingPage
from tests.factories import make_pair, make_round
from tests.studies import make_evaluation, open_study

#: Every use of the storages throws, as where a person has blocked a site's data.
BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, {
    get() { throw new DOMException(`access to ${name} is denied`, "SecurityError"); } })"""
#: Some browsers' views have none at all.
MISSING = """for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, { value: null })"""
#: Really full, to the last byte; only what is there already can be read.
FULL = """for (const storage of [localStorage, sessionStorage]) {
    storage.clear();
    const fits = (name, text) => {
        try { storage.setItem(name, text); return true; } catch { return false; }
    };
    for (let size = 4_000_000, number = 0; size >= 1; ) {
        if (fits(`filler ${number}`, "x".repeat(size))) number += 1;
        else size = Math.floor(size / 2);
    }
    for (let name = "y"; fits(name, ""); ) name += "y";
    if (fits("z", "")) throw new Error("there is judging");
}"""
STATES = {"blocked": BLOCKED, "missing": MISSING, "full": FULL}
NOTICE = "storage is full or blocked"

in_every_state = pytest.mark.parametrize("state", STATES)


def make_pairs(count: int) -> None:
    round = make_round()
    for _ in range(count):
        make_pair(round)


def spoil(page: Page, state: str) -> None:
    """From the next page on, and again on every one."""
    page.add_init_script(f"if (location.protocol.startsWith('http')) {{ {STATES[state]} }}")


def open_judging(visit: Visit, user: User, state: str) -> JudgingPage:
    page = visit(None, "/login/", is_new=True)
    spoil(page, state)
    page.goto("/judge/identity/")
    sign_in(page, user)
    judging = JudgingPage(page)
    judging.wait_until_ready()
    # Nobody knows whether this person has read the guidelines.
    expect(page.locator("#guidelines")).to_be_visible()
    judging.press("Escape")
    return judging


@in_every_state
def test_every_vote_is_stored_and_the_page_says_what_is_missing(visit: Visit, ana: User, state: str) -> None:
    make_pairs(3)
    judging = open_judging(visit, ana, state)
    expect(judging.page.locator(".unsent")).to_contain_text(NOTICE)
    said = []
    for number, key in enumerate("123"):
        judging.wait_until_ready()
        if number < 2:
            judging.wait_until_next_is_fetched()
        said.append(judging.lease)
        judging.press(key, "Enter")
        judging.wait_until_stored()
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    expect(judging.page.locator(".unsent")).to_contain_text(NOTICE)
    stored = Judgment.objects.order_by("id").values_list("slot__lease", flat=True)
    assert [str(lease) for lease in stored] == said


@in_every_state
def test_an_answer_that_cannot_be_sent_stays_in_the_page(visit: Visit, ana: User, state: str) -> None:
    make_pairs(2)
    judging = open_judging(visit, ana, state)
    judging.wait_until_next_is_fetched()
    judging.page.context.set_offline(True)
    judging.press("2", "Enter")
    expect(judging.page.locator(".unsent")).to_contain_text("1 answer is in this page only")
    # Whoever closes the page is asked first.
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    judging.page.on("dialog", stay)
    judging.page.close(run_before_unload=True)
    expect(judging.page.locator(".unsent")).to_contain_text("do not close it")
    judging.page.context.set_offline(False)
    judging.wait_until_stored()
    assert asked == ["beforeunload"]
    assert Judgment.objects.count() == 1
    expect(judging.page.locator(".unsent")).to_contain_text(NOTICE)


@in_every_state
def test_an_answer_survives_signing_out_and_in_again(visit: Visit, ana: User, state: str) -> None:
    """The page may not be loaded again, since it alone has the answer."""
    make_pairs(2)
    judging = open_judging(visit, ana, state)
    judging.wait_until_next_is_fetched()
    cookies = judging.page.context.cookies()
    judging.page.context.clear_cookies()
    judging.press("2", "Enter")
    expect(judging.page.locator(".unsent")).to_contain_text("You are signed out")
    assert not Judgment.objects.exists()
    # Another session of the same person: this page's token is not its token.
    other = judging.page.context.new_page()
    other.goto("/login/")
    sign_in(other, ana)
    assert {c["value"] for c in cookies}.isdisjoint(c["value"] for c in judging.page.context.cookies())
    judging.page.bring_to_front()
    judging.page.evaluate("() => outbox.send()")
    judging.wait_until_stored()
    assert Judgment.objects.count() == 1


@in_every_state
def test_keys_and_the_clock_work_without_storage(visit: Visit, ana: User, state: str) -> None:
    make_pairs(1)
    judging = open_judging(visit, ana, state)
    page = judging.page
    judging.press("?")
    page.locator("#keys [data-key=tie]").click()
    judging.press("t", "Escape", "t")
    assert judging.choice == "tie"
    page.wait_for_function("() => session.state.activeMs > 0")
    expect(page.locator(".clock")).to_have_text("0 min")
    judging.press("Escape", "0")
    page.get_by_label("The videos look identical").check()
    judging.press("n")
    page.keyboard.type("twins")
    judging.press("Escape", "Enter")
    expect(page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.get().note == "twins"


@in_every_state
def test_a_study_loses_nothing_either(visit: Visit, lea: User, state: str) -> None:
    study = open_study(make_evaluation(num_instances=1))
    page = visit(None, "/login/", is_new=True)
    spoil(page, state)
    page.goto(f"/enter/{study.link.token}/?PROLIFIC_PID=person-0")
    page.get_by_role("button", name="I agree").click()
    judging = JudgingPage(page)
    judging.wait_until_ready()
    judging.press("Escape")
    expect(page.locator(".unsent")).to_contain_text(NOTICE)
    for number in range(3):
        judging.wait_until_ready()
        if number < 2:
            judging.wait_until_next_is_fetched()
        page.context.set_offline(number == 0)
        judging.press("1", "2", "3", "1", "Enter")
        if number == 0:
            expect(page.locator(".unsent")).to_contain_text("1 answer is in this page only")
            page.context.set_offline(False)
        judging.wait_until_stored()
    expect(page.locator("#task h1")).to_have_text("That was the last pair")
    assert StudyAnswer.objects.count() == 3


def test_what_somebody_else_wrote_is_left_alone(visit: Visit, ana: User) -> None:
    """Values that are none of ours, or cut short, stop nothing."""
    make_pairs(1)
    page = visit(ana, "/judge/identity/")
    page.evaluate(
        """(person) => {
            for (const name of ["keys", "key options", `session of ${person}`, `answer of ${person}: 1`])
                localStorage.setItem(name, '{"cut":');
            sessionStorage.setItem("draft", "no JSON");
        }""",
        ana.pk,
    )
    page.reload()
    judging = JudgingPage(page)
    judging.wait_until_ready()
    judging.press("1", "Enter")
    expect(page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.count() == 1
