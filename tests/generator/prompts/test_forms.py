"""Replies are held against their form, whatever a server promised."""

from __future__ import annotations

import json

import pytest

from generator.prompts.forms import CHANGES, DESCRIPTION, Fault, ReplyError, comparison, read_reply
from generator.records import ELEMENTS

RIGHT = {element: f"some {element}" for element in ELEMENTS}


def test_it_reads_a_right_reply_bare_or_fenced() -> None:
    text = json.dumps(RIGHT)
    assert read_reply(text, DESCRIPTION) == RIGHT
    assert read_reply(f"\n```json\n{text}\n```\n", DESCRIPTION) == RIGHT
    assert read_reply(f"```\n{text}\n```", DESCRIPTION) == RIGHT


@pytest.mark.parametrize(
    ("text", "faults", "message"),
    [
        ("The shirt is red.", [Fault.NOT_JSON], "the reply is not JSON"),
        ("", [Fault.NOT_JSON], "the reply is not JSON"),
        ("[" * 100_000, [Fault.NOT_JSON], "the reply is not JSON"),
        ('["red"]', [Fault.WRONG_VALUE], "is not of type 'object'"),
        ("null", [Fault.WRONG_VALUE], "is not of type 'object'"),
        (json.dumps({k: v for k, v in RIGHT.items() if k != "action"}), [Fault.OMITTED], "'action'"),
        (json.dumps(RIGHT | {"action": " . "}), [Fault.OMITTED], "action is empty"),
        (json.dumps(RIGHT | {"mood": "good"}), [Fault.INVENTED], "'mood' was unexpected"),
        (json.dumps(RIGHT)[:-1] + ', "action": "waving"}', [Fault.INVENTED], "a key is in the reply twice"),
        (json.dumps(RIGHT | {"action": 3}), [Fault.WRONG_VALUE], "action: 3 is not of type 'string'"),
        (
            json.dumps(RIGHT | {"action": "waving \ud800"}),
            [Fault.WRONG_VALUE],
            "action holds half of a character",
        ),
        (json.dumps(RIGHT | {"action": None}), [Fault.WRONG_VALUE], "action: None is not"),
    ],
)
def test_it_refuses_a_description_that_is_not_one(text: str, faults: list[Fault], message: str) -> None:
    with pytest.raises(ReplyError, match=message) as error:
        read_reply(text, DESCRIPTION)
    assert list(error.value.faults) == faults


def test_it_names_everything_that_is_wrong_at_once_and_shortly() -> None:
    reply = {element: text for element, text in RIGHT.items() if element not in ("action", "clothing")}
    with pytest.raises(ReplyError) as error:
        read_reply(json.dumps(reply | {"mood": "good", "hairstyle": ["x" * 10_000]}), DESCRIPTION)
    assert set(error.value.faults) == {Fault.OMITTED, Fault.INVENTED, Fault.WRONG_VALUE}
    assert all(name in str(error.value) for name in ("action", "clothing", "mood", "hairstyle"))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("value", ["1.01", "-0.1", "NaN", "Infinity", "true", '"0.5"', "null"])
def test_a_similarity_is_a_number_from_0_to_1(value: str) -> None:
    with pytest.raises(ReplyError) as error:
        read_reply(f'{{"action": {value}}}', comparison(["action"]))
    assert error.value.faults == (Fault.WRONG_VALUE,)


def test_a_comparison_has_the_elements_that_were_asked_for() -> None:
    form = comparison(["action", "clothing"])
    assert read_reply('{"action": 0, "clothing": 1}', form) == {"action": 0, "clothing": 1}
    for reply in ('{"action": 0}', '{"action": 0, "clothing": 1, "background": 1}'):
        with pytest.raises(ReplyError):
            read_reply(reply, form)


def test_a_one_step_reply_says_of_every_element_whether_it_changes() -> None:
    kept = dict.fromkeys(ELEMENTS)
    change = {"target": "waving", "statement": "She waves."}
    assert read_reply(json.dumps(kept | {"action": change}), CHANGES)["action"] == change
    for wrong in (True, "waving", {"target": "waving"}, change | {"target": ""}, change | {"why": "x"}):
        with pytest.raises(ReplyError):
            read_reply(json.dumps(kept | {"action": wrong}), CHANGES)
    with pytest.raises(ReplyError):
        read_reply(json.dumps({"action": change}), CHANGES)
