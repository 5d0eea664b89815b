"""Every key does what it says on every layout, with letters as keys and without."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotate.models import User
from rlhf.records import Track
from tests.browser.judging_page import JudgingPage
from tests.browser.layouts import LAYOUTS, US_PLACES, Press
from tests.factories import make_pair

Judge = Callable[..., JudgingPage]

#: The acts that are votes, with the digits that they are on.
ANSWERS = {"left": "1", "right": "2", "tie": "3", "both_bad": "4", "unsure": "0"}


@pytest.fixture
def judging(judge: Judge, ana: User) -> JudgingPage:
    make_pair()
    return judge(ana, Track.IDENTITY)


def meanings(page: Page, presses: list[Press], *, letters: bool) -> dict[Press, str | None]:
    """What the page takes each press for."""
    found: list[str | None] = page.evaluate(
        """([presses, letters]) => {
            keys.options.letters = letters;
            return presses.map((press) => keys.meaning(new KeyboardEvent("keydown", press)) ?? null);
        }""",
        [[asdict(press) for press in presses], letters],
    )
    return dict(zip(presses, found, strict=True))


def usual_keys(page: Page) -> dict[str, str]:
    """The acts on keys that type a sign; arrows and Space are where they are on every keyboard."""
    keys: dict[str, str] = page.evaluate(
        "() => Object.fromEntries(Object.entries(ACTS).map(([act, { key }]) => [act, key]))"
    )
    return {act: key for act, key in keys.items() if len(key) == 1 and key != " "}


def is_letter(sign: str) -> bool:
    return bool(sign) and unicodedata.category(sign)[0] in "LM"


def print_table(tables: dict[str, dict[Press, str | None]], acts: dict[str, str], title: str) -> None:
    print(f"\n{title}\n| act | key | {' | '.join(tables)} |\n|{' --- |' * (2 + len(tables))}")
    for act, key in acts.items():
        cells = [
            " ".join(press.shown for press, does in table.items() if does == act and not press.shiftKey)
            or ", ".join(press.shown for press, does in table.items() if does == act)
            for table in tables.values()
        ]
        print(f"| {act} | {key.upper()} | {' | '.join(cell.replace('|', '¦') or '–' for cell in cells)} |")


@pytest.mark.parametrize("letters", [True, False], ids=["letters are keys", "letters are no keys"])
def test_every_act_is_on_every_layout(judging: JudgingPage, letters: bool) -> None:
    acts = usual_keys(judging.page)
    act_of = {key: act for act, key in acts.items() if letters or not is_letter(key)}
    tables = {name: meanings(judging.page, presses, letters=letters) for name, presses in LAYOUTS.items()}
    print_table(tables, acts, f"Letters are {'' if letters else 'no '}keys: what is pressed for each act")
    for name, table in tables.items():
        at = {(press.code, press.shiftKey): press for press in table}
        for press, does in table.items():
            # What is printed on a key is what it does.
            if press.sign in act_of:
                assert does == act_of[press.sign], (name, press)
            # A vote is given by a digit or from its place, and by nothing else.
            if does in ANSWERS:
                assert ANSWERS[does] in (press.sign, press.code.removeprefix("Digit")), (name, press)
        for key, act in act_of.items():
            assert act in table.values(), (name, act)
            # A key whose sign means nothing does what it does on a US keyboard.
            press = at.get(US_PLACES[key])
            if press and press.sign not in act_of and not (press.sign.isascii() and press.sign.isdigit()):
                assert table[press] == act, (name, press)
        # The digits' row answers with and without Shift, so that no side is easier than the other.
        for act, digit in ANSWERS.items():
            row = {table[at[f"Digit{digit}", is_shifted]] for is_shifted in (False, True)}
            assert row == {act}, (name, act)
        letters_on_acts = {does for does in table.values() if does and is_letter(acts[does])}
        assert bool(letters_on_acts) == letters, (name, letters_on_acts)


#: What a browser reports, and the act it is.
OTHER_PRESSES: list[tuple[dict[str, Any], str | None]] = [
    # Numbers block, with and without Num Lock.
    ({"code": "Numpad2", "key": "2"}, "right"),
    ({"code": "Numpad2", "key": "ArrowDown"}, None),
    ({"code": "Numpad1", "key": "End"}, None),
    ({"code": "Numpad1", "key": "۱"}, "left"),
    ({"code": "NumpadDecimal", "key": "."}, "forward"),
    # Programmers' Dvorak types digits with Shift, in another order: a digit is that digit.
    ({"code": "Digit2", "key": "7", "shiftKey": True}, None),
    ({"code": "Digit6", "key": "2", "shiftKey": True}, "right"),
    # AltGr makes another key of it: German AltGr+8 is [, AltGr+2 is ², AltGr+0 is }.
    ({"code": "Digit8", "key": "[", "modifierAltGraph": True}, "loopStart"),
    ({"code": "Digit2", "key": "²", "modifierAltGraph": True}, None),
    ({"code": "Digit0", "key": "}", "modifierAltGraph": True}, None),
    # A French ² is no 2.
    ({"code": "Backquote", "key": "²"}, None),
    # Wide signs of a Japanese keyboard, and a method of input that hides what was typed.
    ({"code": "KeyS", "key": "ｓ"}, "slightly"),
    ({"code": "Digit2", "key": "２"}, "right"),
    ({"code": "KeyG", "key": "Process"}, "gallery"),
    # Caps Lock, and a key without a place: a screen's keyboard.
    ({"code": "KeyG", "key": "G"}, "gallery"),
    ({"code": "", "key": "2"}, "right"),
    ({"code": "", "key": "ы"}, None),
    ({"code": "F2", "key": "F2"}, None),
]


def test_other_presses(judging: JudgingPage) -> None:
    for letters in (True, False):
        found = judging.page.evaluate(
            """([events, letters]) => {
                keys.options.letters = letters;
                return events.map((event) => keys.meaning(new KeyboardEvent("keydown", event)) ?? null);
            }""",
            [[event for event, _ in OTHER_PRESSES], letters],
        )
        for (event, act), does in zip(OTHER_PRESSES, found, strict=True):
            assert does == (None if act in ("slightly", "gallery") and not letters else act), event


def press(page: Page, key: str, code: str, *, modifiers: int = 0) -> None:
    """Press a key as a keyboard of another layout does."""
    client = page.context.new_cdp_session(page)
    for kind in ("keyDown", "keyUp"):
        client.send(
            "Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code, "modifiers": modifiers}
        )
    client.detach()


def test_real_keyboards_answer(judging: JudgingPage) -> None:
    """The cases that were reported."""
    for key, code, choice in (("é", "Digit2", "right"), ("&", "Digit1", "left"), ("à", "Digit0", "unsure")):
        judging.press("Escape")
        press(judging.page, key, code)
        assert judging.choice == choice
    judging.press("Escape")
    press(judging.page, "&", "Digit1")
    press(judging.page, "ы", "KeyS")
    assert judging.page.evaluate("() => view.answer.strength") == "slightly"
    press(judging.page, "т", "KeyN")
    expect(judging.page.locator(".note-panel")).to_be_visible()
    judging.press("Escape")
    judging.show(3)
    judging.page.evaluate("() => keys.setOption('letters', false)")
    press(judging.page, "ю", "Period")
    assert judging.page.evaluate("() => view.player.frame") == 4
    press(judging.page, "ы", "KeyS")
    assert judging.page.evaluate("() => view.answer.strength") == "slightly"
    # A shortcut of the browser is nobody's answer.
    for modifiers in (1, 2, 4):
        press(judging.page, "é", "Digit2", modifiers=modifiers)
    assert judging.choice == "left"


def test_keys_of_other_layouts_can_be_given_to_acts(judging: JudgingPage) -> None:
    page = judging.page
    says = page.locator("#keys [role=status]")
    judging.press("?")
    page.locator("#keys [data-key=note]").click()
    press(page, "é", "Digit2")
    expect(says).to_contain_text("is taken: right is better")
    press(page, "ы", "KeyS")
    expect(says).to_contain_text("is taken: slightly better")
    press(page, "ф", "KeyA")
    # By its place, so that it is there on a Latin layout, too.
    expect(says).to_contain_text("is on A now")
    page.locator("#keys [data-key=guide]").click()
    press(page, "ö", "Semicolon")
    expect(says).to_contain_text("is on Ö now")
    judging.press("Escape")
    for key in ("ф", "a"):
        press(page, key, "KeyA")
        expect(page.locator(".note-panel")).to_be_visible()
        judging.press("Escape")
        expect(page.locator(".note-panel")).to_be_hidden()
    press(page, "ö", "Semicolon")
    expect(page.locator("#guidelines")).to_be_visible()


def test_a_sign_that_is_being_composed_presses_nothing(judging: JudgingPage) -> None:
    judging.press("1", "n")
    judging.page.evaluate(
        """() => document.activeElement.dispatchEvent(new KeyboardEvent(
            "keydown", { key: "Escape", code: "Escape", isComposing: true, bubbles: true }))"""
    )
    expect(judging.page.locator(".note-panel")).to_be_visible()
    judging.page.evaluate("() => document.body.dispatchEvent(new Event('keydown', { bubbles: true }))")
    assert judging.choice == "left"
