"""From pair to pair: the next one is there at once, and no answer is lost, doubled or somebody else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from annotate.judging.slots import lease_slot
from annotate.models import Judgment, Slot, User
from rlhf.records import Track, Verdict
from tests.browser.conftest import Visit
from tests.browser.judging_page import JudgingPage
from tests.factories import make_pair, make_round

Judge = Callable[..., JudgingPage]


def make_pairs(count: int) -> None:
    round = make_round()
    for _ in range(count):
        make_pair(round)


def expect_empty(page: Page) -> None:
    expect(page.locator("#task h1")).to_have_text("No pair for you right now")


def test_the_next_pair_is_there_without_a_request(judge: Judge, ana: User) -> None:
    """Enter is pressed without a connection: what comes next was leased, fetched and decoded before."""
    make_pairs(3)
    judging = judge(ana, "identity")
    judging.wait_until_next_is_fetched()
    first = judging.lease
    judging.page.context.set_offline(True)
    judging.measure_next()
    judging.press("1", "Enter")
    waited = judging.page.wait_for_function("() => window.measured").json_value()
    print(
        f"next pair: {waited['shown']:.0f} ms to its page, {waited['played']:.0f} ms to both videos' frames"
    )
    assert judging.lease != first
    assert waited["requests"] == [], "the next pair asked for something"
    expect(judging.page.locator(".own")).to_have_text("1 judged by you")
    expect(judging.page.locator(".unsent")).to_contain_text("1 answer is kept here and sent again")
    judging.press("2", "Enter")
    expect(judging.page.locator(".answer .hint")).to_contain_text("Your answer is kept here")

    judging.page.context.set_offline(False)
    judging.wait_until_stored()
    judging.wait_until_ready()
    assert Judgment.objects.count() == 2
    assert judging.lease not in {
        str(lease) for lease in Slot.objects.exclude(judged_at=None).values_list("lease", flat=True)
    }
    judging.press("3", "Enter")
    expect_empty(judging.page)
    judging.wait_until_stored()
    assert Judgment.objects.count() == 3


def test_a_site_that_fails_gets_the_answer_again(judge: Judge, ana: User) -> None:
    make_pairs(1)
    judging = judge(ana, "identity")
    failing: list[str] = []

    def fail_once(route: Any) -> None:
        if route.request.method == "POST" and not failing:
            failing.append(route.request.post_data)
            route.fulfill(status=503)
        else:
            route.continue_()

    judging.page.route("**/judge/identity/", fail_once)
    judging.press("2", "Enter")
    expect_empty(judging.page)
    assert len(failing) == 1
    assert Judgment.objects.count() == 1


def test_an_answer_that_arrived_unheard_is_stored_once(judge: Judge, ana: User) -> None:
    """The site stores the vote, and the connection breaks before it can say so."""
    make_pairs(2)
    judging = judge(ana, "identity")
    judging.wait_until_next_is_fetched()
    cut: list[int] = []

    def lose_first_answer(route: Any) -> None:
        if route.request.method == "POST" and not cut:
            cut.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    judging.page.route("**/judge/identity/", lose_first_answer)
    judging.press("2", "Enter")
    judging.wait_until_stored()
    assert cut == [204]
    assert Judgment.objects.count() == 1


def two_tabs(judge: Judge, person: User) -> tuple[JudgingPage, JudgingPage]:
    """Both with the same pair."""
    judging = judge(person, "identity")
    second = JudgingPage(judging.page.context.new_page())
    second.page.goto("/judge/identity/")
    second.wait_until_ready()
    assert second.lease == judging.lease
    return judging, second


def test_two_tabs_store_one_vote_a_pair(judge: Judge, ana: User) -> None:
    make_pairs(2)
    judging, second = two_tabs(judge, ana)
    judging.press("1", "Enter")
    judging.wait_until_stored()
    second.press("1", "Enter")
    second.wait_until_stored()
    assert Judgment.objects.count() == 1
    second.page.wait_for_function("(lease) => view?.lease === lease", arg=judging.lease)


def test_another_answer_of_a_second_tab_is_told_what_stands(judge: Judge, ana: User) -> None:
    """With the next pair on the screen already, and without one."""
    make_pairs(3)
    for is_ahead in (True, False):
        judging, second = two_tabs(judge, ana)
        if is_ahead:
            second.wait_until_next_is_fetched()
        else:
            second.page.evaluate("() => { ahead?.destroy(); ahead = null; }")
        judged = judging.lease
        judging.press("1")
        judging.submit()
        second.press("2", "n")
        second.page.keyboard.type("an ear")
        second.press("Escape", "Enter")
        expect(second.page.locator("#task h1")).to_have_text("Change your last answer")
        hint = second.page.locator(".answer .hint")
        expect(hint).to_contain_text("This pair has your answer “left is better”")
        expect(hint).to_contain_text("and it stands. Enter makes it “right is better”, Esc keeps it.")
        assert (second.lease, second.choice) == (judged, "right")
        stored = Judgment.objects.filter(slot__lease=judged).order_by("revision")
        assert stored.count() == 1
        second.wait_until_ready()
        if is_ahead:
            second.press("Enter")
        else:
            second.press("Escape")
        second.page.wait_for_function("(lease) => view?.lease !== lease", arg=judged)
        second.wait_until_stored()
        assert [vote.note for vote in stored] == ["", "an ear"][: 1 + is_ahead]
        assert second.lease == judging.lease
        judging.page.close()
        second.page.close()


def test_it_changes_the_last_answer(judge: Judge, ana: User) -> None:
    make_pairs(2)
    judging = judge(ana, "controllability")
    judging.press("u")
    expect(judging.page.locator(".answer .hint")).to_contain_text("no answer of yours")
    judging.press("1", "c", "n")
    judging.page.keyboard.type("half a smile")
    judging.press("Escape")
    judging.show(4)
    judging.press("b")
    judging.submit()
    current = judging.lease
    judging.wait_until_ready()
    judging.press("3", "u")
    expect(judging.page.locator("#task h1")).to_have_text("Change your last answer")
    judging.wait_until_ready()
    assert judging.choice == "left"
    judging.press("Escape")
    assert (judging.lease, judging.choice) == (current, "tie")
    judging.press("u")
    expect(judging.page.locator("#task h1")).to_have_text("Change your last answer")
    judging.press("4")
    judging.submit()
    assert (judging.lease, judging.choice) == (current, "tie")
    revisions = Judgment.objects.order_by("revision")
    assert [judgment.revision for judgment in revisions] == [1, 2]
    assert revisions[1].verdict == Verdict.BOTH_BAD
    assert [judgment.strength for judgment in revisions] == ["clearly", ""]
    assert revisions[1].note == revisions[0].note == "half a smile"
    assert revisions[1].breaks == revisions[0].breaks != []
    judging.page.reload()
    judging.wait_until_ready()
    assert (judging.lease, judging.choice) == (current, "tie")


def test_a_fetch_that_an_answer_overtakes_shows_its_pair_once(judge: Judge, ana: User) -> None:
    """The next pair is still being asked for at Enter, and arrives before the answer is stored."""
    make_pairs(4)
    judging = judge(ana, "identity")
    judging.wait_until_next_is_fetched()
    judging.page.evaluate(
        """() => {
            const fetch = window.fetch;
            window.stalled = {};
            window.fetch = (url, options) => new Promise((resolve) => {
                const go = () => resolve(fetch(url, options));
                if (options?.method === 'POST') stalled.answer = go;
                else if (String(url).includes('ahead_of') && !stalled.ahead) stalled.ahead = go;
                else go();
            });
            ahead.destroy();
            ahead = null;
            fetchAhead(view);
        }"""
    )
    judging.page.wait_for_function("() => stalled.ahead")
    first = judging.lease
    judging.press("1", "Enter")
    assert judging.hint == "Sending …"
    judging.page.evaluate("() => stalled.ahead()")
    judging.page.wait_for_function("(lease) => view.lease !== lease", arg=first)
    second = judging.lease
    judging.page.evaluate("() => stalled.answer()")
    judging.wait_until_stored()
    judging.wait_until_next_is_fetched()
    assert judging.lease == second
    assert len({first, second, judging.page.evaluate("() => ahead.lease")}) == 3


def test_a_second_press_right_after_the_first_answers_nothing(judge: Judge, ana: User, settings: Any) -> None:
    settings.ANSWER_GUARD_MS = 60_000
    make_pairs(2)
    judging = judge(ana, "identity")
    judging.press("?")
    judging.page.get_by_label("Keys of answers submit at once").check()
    judging.press("Escape")
    judging.wait_until_next_is_fetched()
    # As if both had been there for a while.
    judging.page.evaluate("() => { view.enteredAt -= 60_000; }")
    Slot.objects.filter(annotator=ana).update(leased_at=timezone.now() - timedelta(minutes=10))
    first = judging.lease
    judging.press("1", "2")
    assert judging.lease != first
    judging.wait_until_stored()
    hint = judging.page.locator(".answer .hint")
    expect(hint).to_contain_text("so it was ignored")
    judging.page.locator("label[data-key=right]").click()
    judging.page.locator(".submit").click(force=True)
    judging.press("Enter")
    assert judging.choice == ""
    assert Judgment.objects.count() == 1
    # Past the page's own guard, the server still has its clock. What it refuses stays on the screen.
    judging.page.evaluate("() => { view.enteredAt -= 60_000; outbox.guardMs = 0; }")
    judging.press("2")
    expect(hint).to_contain_text("60000 ms must pass; look, then answer again")
    assert judging.choice == "right"
    assert Judgment.objects.count() == 1
    Slot.objects.exclude(judged_at=None).update(judged_at=timezone.now() - timedelta(minutes=10))
    judging.press("Enter")
    expect_empty(judging.page)
    assert Judgment.objects.count() == 2


def test_a_slow_connection_makes_no_answer_look_early(judge: Judge, ana: User, settings: Any) -> None:
    """The first answer is stored late, right before the second one arrives."""
    settings.ANSWER_GUARD_MS = guard_ms = 500
    make_pairs(3)
    judging = judge(ana, "identity")
    judging.wait_until_next_is_fetched()
    judging.page.wait_for_timeout(guard_ms)
    judging.page.context.set_offline(True)
    judging.press("1", "Enter")
    expect(judging.page.locator(".unsent")).to_contain_text("1 answer is kept here")
    judging.page.wait_for_timeout(guard_ms)
    judging.press("2", "Enter")
    judging.page.context.set_offline(False)
    judging.wait_until_stored()
    assert Judgment.objects.count() == 2


def test_it_keeps_a_lease_while_somebody_looks(judge: Judge, ana: User, ben: User) -> None:
    make_pairs(1)
    judging = judge(ana, "identity")
    ended = timezone.now() - timedelta(seconds=1)
    Slot.objects.filter(annotator=ana).update(lease_expires_at=ended)
    judging.page.evaluate("() => renew()")
    assert Slot.objects.get(annotator=ana).lease_expires_at > timezone.now()
    Slot.objects.filter(annotator=ana).update(lease_expires_at=ended)
    assert lease_slot(ben, Track.IDENTITY) is not None
    judging.page.evaluate("() => renew()")
    expect(judging.page.locator(".answer .hint")).to_contain_text("given to someone else")


def test_the_watch_gate_is_shown_and_is_the_servers(judge: Judge, ana: User, settings: Any) -> None:
    settings.WATCH_GATE = dict.fromkeys(settings.WATCH_GATE, 100)
    make_pairs(1)
    judging = judge(ana, "identity")
    judging.press("Space", "1")
    judging.page.evaluate("() => { view.player.coverage.left = new Coverage(9); view.draw(); }")
    judging.press("Enter")
    # The frame at which it was paused may be shown, and count, only now.
    expect(judging.page.locator(".answer .hint")).to_have_text(
        re.compile(r"Watch the left video first: (0|11) of 100 %\.")
    )
    assert judging.page.locator(".submit").get_attribute("aria-disabled") == "true"
    judging.page.evaluate("() => { view.task.dataset.watch = '0'; view.draw(); }")
    judging.press("Enter")
    # Some frames may be shown again while the answer is on its way.
    expect(judging.page.locator(".answer .hint")).to_contain_text(
        "% of the left video was shown and 100 % must be"
    )
    judging.page.evaluate("() => { view.task.dataset.watch = '100'; }")
    judging.press("Space")
    judging.watch_whole()
    judging.press("Enter")
    expect_empty(judging.page)
    assert Judgment.objects.get().evidence["coverage"]["left"] == 1


def test_it_suggests_a_break_and_then_asks_for_one(visit: Visit, ana: User) -> None:
    make_pairs(2)
    page = visit(ana, "/judge/identity/")
    judging = JudgingPage(page)
    judging.wait_until_ready()
    looked = """(minutes) => localStorage.setItem(session.key,
        JSON.stringify({ activeMs: minutes * 60000, at: Date.now() }))"""
    page.evaluate(looked, 21)
    expect(page.locator(".clock")).to_have_text("21 min: time for a break")
    judging.press("1")
    judging.submit()
    judging.wait_until_ready()
    assert not page.evaluate("() => session.dialog.open")
    page.evaluate(looked, 30)
    page.reload()
    expect(page.locator("#break")).to_be_visible()
    expect(page.locator("#break output")).to_have_text("You can go on in 5 min.")
    assert page.locator("#break button").is_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#break")).to_be_visible()
    page.evaluate(
        "() => localStorage.setItem(session.key, JSON.stringify({ activeMs: 1.8e6, at: Date.now() - 3e5 }))"
    )
    page.locator("#break button").click()
    expect(page.locator("#break")).to_be_hidden()
    expect(page.locator(".clock")).to_have_text("0 min")


def test_another_persons_answers_are_not_sent(visit: Visit, judge: Judge, ana: User) -> None:
    make_pairs(1)
    judging = judge(ana, "identity")
    judging.page.evaluate(
        "() => localStorage.setItem('answer of 0: key', JSON.stringify({ url: '/nowhere', at: 0 }))"
    )
    judging.press("1", "Enter")
    expect_empty(judging.page)
    assert judging.page.evaluate("() => localStorage.getItem('answer of 0: key')")
