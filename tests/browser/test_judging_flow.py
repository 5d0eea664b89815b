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
from tests.browser.rooms import Room
from tests.factories import make_pair, make_round

Judge = Callable[..., Room]


def make_pairs(count: int) -> None:
    round = make_round()
    for _ in range(count):
        make_pair(round)


def expect_empty(page: Page) -> None:
    expect(page.locator("#task h1")).to_have_text("No pair for you right now")


def test_the_next_pair_is_there_without_a_request(judge: Judge, ana: User) -> None:
    """Enter is pressed without a connection: what comes next was leased, fetched and decoded before."""
    make_pairs(3)
    room = judge(ana, "identity")
    room.wait_until_next_is_fetched()
    first = room.lease
    room.page.context.set_offline(True)
    room.measure_next()
    room.press("1", "Enter")
    waited = room.page.wait_for_function("() => window.measured").json_value()
    print(
        f"next pair: {waited['shown']:.0f} ms to its page, {waited['played']:.0f} ms to both videos' frames"
    )
    assert room.lease != first
    assert waited["requests"] == [], "the next pair asked for something"
    expect(room.page.locator(".own")).to_have_text("1 judged by you")
    expect(room.page.locator(".unsent")).to_contain_text("1 answer is kept here and sent again")
    room.press("2", "Enter")
    expect(room.page.locator(".answer .hint")).to_contain_text("Your answer is kept here")

    room.page.context.set_offline(False)
    room.wait_until_stored()
    room.wait_until_ready()
    assert Judgment.objects.count() == 2
    assert room.lease not in {
        str(lease) for lease in Slot.objects.exclude(judged_at=None).values_list("lease", flat=True)
    }
    room.press("3", "Enter")
    expect_empty(room.page)
    room.wait_until_stored()
    assert Judgment.objects.count() == 3


def test_a_site_that_fails_gets_the_answer_again(judge: Judge, ana: User) -> None:
    make_pairs(1)
    room = judge(ana, "identity")
    failing: list[str] = []

    def fail_once(route: Any) -> None:
        if route.request.method == "POST" and not failing:
            failing.append(route.request.post_data)
            route.fulfill(status=503)
        else:
            route.continue_()

    room.page.route("**/judge/identity/", fail_once)
    room.press("2", "Enter")
    expect_empty(room.page)
    assert len(failing) == 1
    assert Judgment.objects.count() == 1


def test_an_answer_that_arrived_unheard_is_stored_once(judge: Judge, ana: User) -> None:
    """The site stores the vote, and the connection breaks before it can say so."""
    make_pairs(2)
    room = judge(ana, "identity")
    room.wait_until_next_is_fetched()
    cut: list[int] = []

    def lose_first_answer(route: Any) -> None:
        if route.request.method == "POST" and not cut:
            cut.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    room.page.route("**/judge/identity/", lose_first_answer)
    room.press("2", "Enter")
    room.wait_until_stored()
    assert cut == [204]
    assert Judgment.objects.count() == 1


def two_tabs(judge: Judge, person: User) -> tuple[Room, Room]:
    """Both with the same pair."""
    room = judge(person, "identity")
    second = Room(room.page.context.new_page())
    second.page.goto("/judge/identity/")
    second.wait_until_ready()
    assert second.lease == room.lease
    return room, second


def test_two_tabs_store_one_vote_a_pair(judge: Judge, ana: User) -> None:
    make_pairs(2)
    room, second = two_tabs(judge, ana)
    room.press("1", "Enter")
    room.wait_until_stored()
    second.press("1", "Enter")
    second.wait_until_stored()
    assert Judgment.objects.count() == 1
    second.page.wait_for_function("(lease) => room?.lease === lease", arg=room.lease)


def test_another_answer_of_a_second_tab_is_told_what_stands(judge: Judge, ana: User) -> None:
    """With the next pair on the screen already, and without one."""
    make_pairs(3)
    for is_ahead in (True, False):
        room, second = two_tabs(judge, ana)
        if is_ahead:
            second.wait_until_next_is_fetched()
        else:
            second.page.evaluate("() => { ahead?.destroy(); ahead = null; }")
        judged = room.lease
        room.press("1")
        room.submit()
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
        second.page.wait_for_function("(lease) => room?.lease !== lease", arg=judged)
        second.wait_until_stored()
        assert [vote.note for vote in stored] == ["", "an ear"][: 1 + is_ahead]
        assert second.lease == room.lease
        room.page.close()
        second.page.close()


def test_it_changes_the_last_answer(judge: Judge, ana: User) -> None:
    make_pairs(2)
    room = judge(ana, "controllability")
    room.press("u")
    expect(room.page.locator(".answer .hint")).to_contain_text("no answer of yours")
    room.press("1", "c", "n")
    room.page.keyboard.type("half a smile")
    room.press("Escape")
    room.show(4)
    room.press("b")
    room.submit()
    current = room.lease
    room.wait_until_ready()
    room.press("3", "u")
    expect(room.page.locator("#task h1")).to_have_text("Change your last answer")
    room.wait_until_ready()
    assert room.choice == "left"
    room.press("Escape")
    assert (room.lease, room.choice) == (current, "tie")
    room.press("u")
    expect(room.page.locator("#task h1")).to_have_text("Change your last answer")
    room.press("4")
    room.submit()
    assert (room.lease, room.choice) == (current, "tie")
    revisions = Judgment.objects.order_by("revision")
    assert [judgment.revision for judgment in revisions] == [1, 2]
    assert revisions[1].verdict == Verdict.BOTH_BAD
    assert [judgment.strength for judgment in revisions] == ["clearly", ""]
    assert revisions[1].note == revisions[0].note == "half a smile"
    assert revisions[1].breaks == revisions[0].breaks != []
    room.page.reload()
    room.wait_until_ready()
    assert (room.lease, room.choice) == (current, "tie")


def test_a_fetch_that_an_answer_overtakes_shows_its_pair_once(judge: Judge, ana: User) -> None:
    """The next pair is still being asked for at Enter, and arrives before the answer is stored."""
    make_pairs(4)
    room = judge(ana, "identity")
    room.wait_until_next_is_fetched()
    room.page.evaluate(
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
            fetchAhead(room);
        }"""
    )
    room.page.wait_for_function("() => stalled.ahead")
    first = room.lease
    room.press("1", "Enter")
    assert room.hint == "Sending …"
    room.page.evaluate("() => stalled.ahead()")
    room.page.wait_for_function("(lease) => room.lease !== lease", arg=first)
    second = room.lease
    room.page.evaluate("() => stalled.answer()")
    room.wait_until_stored()
    room.wait_until_next_is_fetched()
    assert room.lease == second
    assert len({first, second, room.page.evaluate("() => ahead.lease")}) == 3


def test_a_second_press_right_after_the_first_answers_nothing(judge: Judge, ana: User, settings: Any) -> None:
    settings.ANSWER_GUARD_MS = 60_000
    make_pairs(2)
    room = judge(ana, "identity")
    room.press("?")
    room.page.get_by_label("Keys of answers submit at once").check()
    room.press("Escape")
    room.wait_until_next_is_fetched()
    # As if both had been there for a while.
    room.page.evaluate("() => { room.enteredAt -= 60_000; }")
    Slot.objects.filter(annotator=ana).update(leased_at=timezone.now() - timedelta(minutes=10))
    first = room.lease
    room.press("1", "2")
    assert room.lease != first
    room.wait_until_stored()
    hint = room.page.locator(".answer .hint")
    expect(hint).to_contain_text("so it was ignored")
    room.page.locator("label[data-key=right]").click()
    room.page.locator(".submit").click(force=True)
    room.press("Enter")
    assert room.choice == ""
    assert Judgment.objects.count() == 1
    # Past the page's own guard, the server still has its clock. What it refuses stays on the screen.
    room.page.evaluate("() => { room.enteredAt -= 60_000; outbox.guardMs = 0; }")
    room.press("2")
    expect(hint).to_contain_text("60000 ms must pass; look, then answer again")
    assert room.choice == "right"
    assert Judgment.objects.count() == 1
    Slot.objects.exclude(judged_at=None).update(judged_at=timezone.now() - timedelta(minutes=10))
    room.press("Enter")
    expect_empty(room.page)
    assert Judgment.objects.count() == 2


def test_a_slow_connection_makes_no_answer_look_early(judge: Judge, ana: User, settings: Any) -> None:
    """The first answer is stored late, right before the second one arrives."""
    settings.ANSWER_GUARD_MS = guard_ms = 500
    make_pairs(3)
    room = judge(ana, "identity")
    room.wait_until_next_is_fetched()
    room.page.wait_for_timeout(guard_ms)
    room.page.context.set_offline(True)
    room.press("1", "Enter")
    expect(room.page.locator(".unsent")).to_contain_text("1 answer is kept here")
    room.page.wait_for_timeout(guard_ms)
    room.press("2", "Enter")
    room.page.context.set_offline(False)
    room.wait_until_stored()
    assert Judgment.objects.count() == 2


def test_it_keeps_a_lease_while_somebody_looks(judge: Judge, ana: User, ben: User) -> None:
    make_pairs(1)
    room = judge(ana, "identity")
    ended = timezone.now() - timedelta(seconds=1)
    Slot.objects.filter(annotator=ana).update(lease_expires_at=ended)
    room.page.evaluate("() => renew()")
    assert Slot.objects.get(annotator=ana).lease_expires_at > timezone.now()
    Slot.objects.filter(annotator=ana).update(lease_expires_at=ended)
    assert lease_slot(ben, Track.IDENTITY) is not None
    room.page.evaluate("() => renew()")
    expect(room.page.locator(".answer .hint")).to_contain_text("given to someone else")


def test_the_watch_gate_is_shown_and_is_the_servers(judge: Judge, ana: User, settings: Any) -> None:
    settings.WATCH_GATE = dict.fromkeys(settings.WATCH_GATE, 100)
    make_pairs(1)
    room = judge(ana, "identity")
    room.press("Space", "1")
    room.page.evaluate("() => { room.player.coverage.left = new Coverage(9); room.draw(); }")
    room.press("Enter")
    # The frame at which it was paused may be shown, and count, only now.
    expect(room.page.locator(".answer .hint")).to_have_text(
        re.compile(r"Watch the left video first: (0|11) of 100 %\.")
    )
    assert room.page.locator(".submit").get_attribute("aria-disabled") == "true"
    room.page.evaluate("() => { room.task.dataset.watch = '0'; room.draw(); }")
    room.press("Enter")
    # Some frames may be shown again while the answer is on its way.
    expect(room.page.locator(".answer .hint")).to_contain_text(
        "% of the left video was shown and 100 % must be"
    )
    room.page.evaluate("() => { room.task.dataset.watch = '100'; }")
    room.press("Space")
    room.watch_whole()
    room.press("Enter")
    expect_empty(room.page)
    assert Judgment.objects.get().evidence["coverage"]["left"] == 1


def test_it_suggests_a_break_and_then_asks_for_one(visit: Visit, ana: User) -> None:
    make_pairs(2)
    page = visit(ana, "/judge/identity/")
    room = Room(page)
    room.wait_until_ready()
    looked = """(minutes) => localStorage.setItem(session.key,
        JSON.stringify({ activeMs: minutes * 60000, at: Date.now() }))"""
    page.evaluate(looked, 21)
    expect(page.locator(".clock")).to_have_text("21 min: time for a break")
    room.press("1")
    room.submit()
    room.wait_until_ready()
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
    room = judge(ana, "identity")
    room.page.evaluate(
        "() => localStorage.setItem('answer of 0: key', JSON.stringify({ url: '/nowhere', at: 0 }))"
    )
    room.press("1", "Enter")
    expect_empty(room.page)
    assert room.page.evaluate("() => localStorage.getItem('answer of 0: key')")
