from __future__ import annotations

import random

import pytest

from generator.prompts.differential import differential_prompt, make_prompt
from generator.records import ELEMENTS

PRIMARY = {element: f"old {element}" for element in ELEMENTS}


def test_it_says_changes_in_the_fixed_order_and_nothing_else() -> None:
    statements = {element: f"New {element}." for element in ELEMENTS}
    chosen = list(statements.items())
    random.Random(1).shuffle(chosen)
    assert make_prompt(dict(chosen)) == " ".join(f"New {element}." for element in ELEMENTS)
    assert make_prompt({"action": "She waves.", "clothing": "She wears red."}) == "She wears red. She waves."
    assert make_prompt({}) == ""


def test_it_makes_one_clean_sentence_of_each_statement() -> None:
    assert (
        make_prompt({"clothing": " She wears\n red ", "action": "Does she wave?"})
        == "She wears red. Does she wave?"
    )


def test_it_describes_all_seven_elements() -> None:
    prompt = differential_prompt(PRIMARY, {"action": "waving"}, {"action": "She waves"})
    assert prompt.text == "She waves."
    assert [change.element for change in prompt.elements] == list(ELEMENTS)
    (changed,) = prompt.changed
    assert (changed.primary, changed.target, changed.statement) == ("old action", "waving", "She waves.")
    kept = [change for change in prompt.elements if not change.changed]
    assert all(change.primary == change.target == PRIMARY[change.element] for change in kept)
    assert all(change.statement == "" for change in kept)


def test_it_works_without_a_description_of_the_primary() -> None:
    prompt = differential_prompt(None, {"action": "waving"}, {"action": "She waves."})
    (changed,) = prompt.changed
    assert (changed.primary, changed.target) == (None, "waving")
    assert {change.target for change in prompt.elements if not change.changed} == {None}


@pytest.mark.parametrize(
    ("targets", "statements", "message"),
    [
        (
            {"hat": "red"},
            {"hat": "A red hat."},
            "unknown element 'hat'; it must be one of camera_shot, hairstyle",
        ),
        ({"action": "waving"}, {}, "action needs both a target and a sentence"),
        ({}, {"action": "She waves."}, "action needs both a target and a sentence"),
        ({"action": "waving"}, {"action": " \n"}, "the sentence for action is empty"),
        ({"action": "old action"}, {"action": "As before."}, "action is 'old action' in the primary already"),
    ],
)
def test_it_refuses_a_change_that_makes_no_sense(
    targets: dict[str, str], statements: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        differential_prompt(PRIMARY, targets, statements)
