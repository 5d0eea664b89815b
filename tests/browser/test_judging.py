"""Stage 5 in a real browser: judged by keys alone, stored once, and never lost."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from annotate.judging.answer_schema import WHY
from annotate.judging.pair_views import guideline_version
from annotate.judging.slots import lease_slot
from annotate.judging.views import guidelines_of
from annotate.models import Judgment, PreferencePair, Side, Slot, User
from rlhf.records import Track, Verdict
from tests.browser.conftest import Visit, sign_in
from tests.browser.judging_page import JudgingPage
from tests.factories import make_group, make_instance, make_pair, make_reference, make_round

Judge = Callable[..., JudgingPage]


def verdict_for(slot: Slot, side: str) -> str:
    """Which sample stood on a side."""
    return Verdict.FIRST if slot.first_side == side else Verdict.SECOND


def test_it_judges_identity_by_keys_alone(judge: Judge, ana: User) -> None:
    group = make_group()
    photo = make_reference(group, kind="photo", num_frames=1)
    photo.path = photo.poster
    photo.save()
    round = make_round()
    for _ in range(2):
        make_pair(round, make_instance(group, hairstyle="pigtails"))

    judging = judge(ana, "identity")
    assert judging.page.locator(".strip li").count() == group.references.count() == 7
    assert "pigtails" not in judging.page.content()
    judging.watch_whole()
    judging.press(
        "g", "k", "j", "Space", ".", ",", "<", "\\", "[", "]", "l", "l", "z", "Shift+ArrowLeft", "z"
    )
    judging.press("2", "1", "c", "e", "Space", "Tab", "Space", "Escape", "n")
    assert judging.choice == "left"
    judging.page.keyboard.type("Look at the ears.")
    judging.press("Escape")
    judging.show(3)
    judging.press("b")
    judging.page.keyboard.down("w")  # Held, it also takes the focus to the right.
    judging.page.keyboard.up("w")
    judging.show(5)
    judging.press("b")
    judging.submit()
    judging.wait_until_ready()

    judgment = Judgment.objects.get()
    assert judgment.slot.track == Track.IDENTITY
    assert judgment.slot.annotator == ana
    assert judgment.verdict == verdict_for(judgment.slot, "left")
    assert judgment.strength == "clearly"
    assert judgment.reasons == list(WHY[Track.IDENTITY][:2])
    assert judgment.note == "Look at the ears."
    samples = [verdict_for(judgment.slot, side) for side in ("left", "right")]
    assert judgment.breaks == [{"sample": samples[0], "frame": 3}, {"sample": samples[1], "frame": 5}]
    evidence = judgment.evidence
    assert evidence["input"] == "keys"
    assert evidence["viewport"] == [1280, 720]
    assert evidence["guideline_version"] == guideline_version(guidelines_of(Track.IDENTITY))
    assert evidence["shown"]["left"] == evidence["shown"]["right"] == [[0, 8]]
    assert evidence["coverage"]["left"] == evidence["coverage"]["right"] == 1
    assert len(evidence["coverage"]["references"]) == 7
    assert min(evidence["played_ms"].values()) >= 900  # Nine frames at eight a second, once.
    assert evidence["active_ms"] > 0
    assert 0 <= evidence["p95_drift_ms"] <= evidence["max_drift_ms"]
    assert judging.choice == ""


def test_it_judges_controllability_by_keys_alone(judge: Judge, ana: User) -> None:
    round = make_round()
    for _ in range(2):
        make_pair(round, make_instance(hairstyle="pigtails", background="a forest"))

    judging = judge(ana, "controllability")
    assert judging.page.locator("[data-cell=reference] video").count() == 1
    statements = judging.page.locator(".changes li").all_inner_texts()
    assert [text for text in statements if "pigtails" in text]
    assert [text for text in statements if "a forest" in text]
    expect(judging.page.locator(".unchanged")).to_have_text("Everything else stays as in the reference.")
    judging.press("p")
    expect(judging.page.locator(".changes")).to_be_hidden()
    judging.press("p")
    expect(judging.page.locator(".changes")).to_be_visible()
    judging.page.keyboard.down("v")
    judging.page.keyboard.up("v")
    judging.press("r", "ArrowRight", "ArrowLeft", ">", "Space", "2", "s")
    judging.submit()

    judgment = Judgment.objects.get()
    assert judgment.strength == "slightly"
    assert judgment.evidence["speed"] == judgment.evidence["speed_range"][1] == 1.25
    assert judgment.slot.track == Track.CONTROLLABILITY
    assert judgment.verdict == verdict_for(judgment.slot, "right")
    expect(judging.page.locator(".own")).to_have_text("1 judged by you")


def test_it_moves_a_pair_on_once_both_tracks_have_their_votes(judge: Judge, ana: User, ben: User) -> None:
    pair = make_pair(make_round(votes_wanted=1))
    for user, track in ((ana, Track.IDENTITY), (ben, Track.CONTROLLABILITY)):
        judging = judge(user, track)
        first_side = Slot.objects.get(pair=pair, track=track).first_side
        judging.press("1" if first_side == Side.LEFT else "2", "Enter")
        expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
        expect(judging.page.locator("#task")).to_contain_text("Every pair of this track has its votes.")

    preference = PreferencePair.objects.get(pair=pair)
    assert (preference.joint_state, preference.chosen) == ("dominant", pair.first)


def test_it_asks_for_a_reason_when_a_pair_cannot_be_judged(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press("0", "Enter")
    assert "Say why" in judging.hint
    judging.press("ArrowDown", "ArrowDown", "Enter")
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    judgment = Judgment.objects.get()
    assert judgment.verdict == Verdict.UNSURE
    assert len(judgment.reasons) == 1


def test_it_stores_one_vote_on_a_double_enter(judge: Judge, ana: User) -> None:
    round = make_round()
    for _ in range(2):
        make_pair(round)
    judging = judge(ana, "identity")
    judging.press("4")
    judging.page.evaluate(
        """() => {
            const enter = () => new KeyboardEvent('keydown', { key: 'Enter', cancelable: true });
            for (let times = 0; times < 2; times++) document.dispatchEvent(enter());
        }"""
    )
    expect(judging.page.locator(".own")).to_have_text("1 judged by you")
    judging.press("Enter", "Enter")
    assert "Choose an answer first" in judging.hint
    assert Judgment.objects.get().verdict == Verdict.BOTH_BAD


def test_it_says_what_to_do_when_no_answer_is_chosen(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press("Enter")
    assert judging.hint == "Choose an answer first: 1 left, 2 right, 3 tie, 4 both bad, 0 cannot judge."
    judging.press("2", "Escape", "Enter")
    assert "Choose an answer first" in judging.hint
    assert not Judgment.objects.exists()


def test_it_works_without_javascript(visit: Visit, ana: User) -> None:
    round = make_round()
    for _ in range(2):
        make_pair(round)
    page = visit(ana, "/judge/identity/", java_script_enabled=False)
    page.locator("button.submit").click()
    expect(page.locator(".answer .hint")).to_contain_text("Choose an answer first")
    page.get_by_label("Right is better").check(force=True)
    page.locator("button.submit").click()
    expect(page.locator(".own")).to_have_text("1 judged by you")
    judgment = Judgment.objects.get()
    assert judgment.verdict == verdict_for(judgment.slot, "right")
    assert judgment.evidence == {}


def test_it_keeps_an_answer_that_could_not_be_sent(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.page.context.set_offline(True)
    judging.press("1", "Enter")
    expect(judging.page.locator(".answer .hint")).to_contain_text("Your answer is kept here")
    assert judging.choice == "left"
    judging.page.context.set_offline(False)
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.count() == 1


def test_it_keeps_an_answer_over_a_reload_and_a_new_sign_in(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press("3")
    judging.page.reload()
    judging.wait_until_ready()
    assert judging.choice == "tie"
    judging.page.context.clear_cookies(name="sessionid")
    with judging.page.expect_navigation(url="**/login/**"):
        judging.press("Enter")
    sign_in(judging.page, ana)  # The page that follows sends what waited.
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    assert Judgment.objects.get().verdict == Verdict.TIE


def test_a_fetch_ahead_that_is_sent_to_the_sign_in_breaks_nothing(judge: Judge, ana: User) -> None:
    """The session may end between two pairs; a script error fails any test."""
    make_pair()
    judging = judge(ana, "identity")
    judging.page.context.clear_cookies(name="sessionid")
    judging.page.evaluate("() => void ask(`?ahead_of=${view.lease}`)")
    # The page's own fetch of the next pair may come after the cookie is gone, too; two reloads make one
    # arrival.
    expect(judging.page).to_have_url(re.compile("/login/"))
    sign_in(judging.page, ana)
    judging.wait_until_ready()


def test_it_says_so_when_a_pair_went_to_somebody_else(judge: Judge, ana: User, ben: User) -> None:
    pair = make_pair()
    judging = judge(ana, "identity")
    Slot.objects.filter(annotator=ana).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert lease_slot(ben, Track.IDENTITY) is not None
    make_pair(pair.round)
    judging.press("1", "Enter")
    expect(judging.page.locator(".answer .hint")).to_contain_text("Your answer was not stored")
    judging.wait_until_ready()
    assert not Judgment.objects.exists()


def test_it_refuses_a_phone_with_a_reason(visit: Visit, ana: User) -> None:
    make_pair()
    media: list[str] = []
    page = visit(None, "/judge/identity/", viewport={"width": 390, "height": 844})
    page.on("request", lambda request: media.append(request.url) if request.url.endswith("left") else None)
    sign_in(page, ana)
    expect(page.locator(".too-small h1")).to_be_visible()
    expect(page.locator("#task")).to_be_hidden()
    assert not media


@pytest.mark.parametrize("track", list(Track))
def test_it_shows_the_choice_above_the_fold(judge: Judge, ana: User, track: str) -> None:
    make_pair(None, make_instance(make_group(), num_references=5))
    page = judge(ana, track).page
    bottom = page.locator("button.submit").bounding_box()
    stage = page.locator(".stage").bounding_box()
    assert bottom is not None and stage is not None
    assert bottom["y"] + bottom["height"] <= 720
    assert stage["height"] >= 360
    assert page.evaluate("() => document.documentElement.scrollHeight") <= 720


def test_it_sends_at_most_150_kilobytes_of_page(judge: Judge, ana: User) -> None:
    make_pair()
    page = judge(ana, "identity").page
    names = page.evaluate("() => performance.getEntriesByType('resource').map(({ name }) => name)")
    parts = [page.url, *(name for name in names if name.endswith((".css", ".js")))]
    sizes = {part: len(gzip.compress(page.request.get(part).body())) for part in parts}
    assert len(sizes) >= 10
    assert sum(sizes.values()) <= 150_000, sizes


def test_it_shows_every_key_on_request(judge: Judge, ana: User) -> None:
    make_pair()
    page: Page = judge(ana, "identity").page
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    assert page.locator("[name=choice]:checked").count() == 0


def test_it_reads_digits_on_layouts_that_type_them_only_with_shift(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.page.evaluate(
        "() => document.dispatchEvent(new KeyboardEvent('keydown', { key: '&', code: 'Digit1' }))"
    )
    assert judging.choice == "left"


def test_it_opens_references_beside_the_pair_one_at_a_time(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    cell = judging.page.locator("[data-cell=reference]")
    expect(cell).to_be_hidden()
    judging.press("k")
    expect(cell.locator("figcaption")).to_have_text("Reference 1 of 3")
    judging.press("k")
    expect(cell.locator("figcaption")).to_have_text("Reference 2 of 3")
    # The first one may have been seen whole as well by now: that depends on how fast the machine is.
    expect(judging.page.locator("li:nth-child(2) .thumbnail[data-seen]")).to_have_count(1)
    judging.press("g")
    expect(cell).to_be_hidden()
    judging.press("3", "Enter")
    expect(judging.page.locator("#task h1")).to_have_text("No pair for you right now")
    seen = Judgment.objects.get().evidence["coverage"]["references"]
    assert seen[1] >= 0.9
    assert seen[2] == 0
