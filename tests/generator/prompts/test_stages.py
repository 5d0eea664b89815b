"""Comparing and pruning, patience, and what a server asks to wait."""

from __future__ import annotations

import random

import pytest

from generator.prompts.asking import Patience
from generator.prompts.stages import compare_elements, prune
from generator.prompts.transcript import Price, Transcript, summarise
from generator.records import ELEMENTS

PRIMARY = {element: f"old {element}" for element in ELEMENTS}
TARGET = {element: f"new {element}" for element in ELEMENTS}


class Comparer:
    """Gives each element what was planted for it, and remembers what it was asked."""

    def __init__(self, similarity: dict[str, float]) -> None:
        self.similarity = similarity
        self.asked: list[str] = []

    def compare(self, question_id: str, primary, target) -> dict[str, float]:
        assert primary.keys() == target.keys()
        self.asked += primary
        return {element: self.similarity[element] for element in primary}


def test_what_is_at_gamma_is_unchanged_and_what_is_below_is_said() -> None:
    planted = {element: index / 10 for index, element in enumerate(ELEMENTS)}
    similarity = compare_elements("p", PRIMARY, TARGET, Comparer(planted))
    assert similarity == planted
    for cut, element in enumerate(ELEMENTS):
        prompt = prune(PRIMARY, TARGET, similarity, gamma=planted[element])
        assert [change.element for change in prompt.changed] == list(ELEMENTS[:cut])
        assert [change.similarity for change in prompt.elements] == list(planted.values())
        assert all(change.target == PRIMARY[change.element] for change in prompt.elements[cut:])
    assert prune(PRIMARY, TARGET, similarity, gamma=0.15).text == (
        "The camera shot changes to new camera_shot. The hairstyle changes to new hairstyle."
    )


def test_equal_words_are_alike_without_asking() -> None:
    comparer = Comparer(dict.fromkeys(ELEMENTS, 0.0))
    target = TARGET | {"action": "  Old   ACTION", "clothing": PRIMARY["clothing"]}
    similarity = compare_elements("p", PRIMARY, target, comparer)
    assert similarity["action"] == similarity["clothing"] == 1.0
    assert comparer.asked == [e for e in ELEMENTS if e not in ("action", "clothing")]
    comparer.asked.clear()
    assert set(compare_elements("p", PRIMARY, PRIMARY, comparer).values()) == {1.0} and not comparer.asked
    assert prune(PRIMARY, PRIMARY, dict.fromkeys(ELEMENTS, 1.0), gamma=1.0).text == ""


def test_what_the_primary_leaves_open_is_said_and_what_the_target_hides_is_not() -> None:
    primary, target = PRIMARY | {"clothing": None}, TARGET | {"background": None}
    comparer = Comparer(dict.fromkeys(ELEMENTS, 1.0))
    similarity = compare_elements("p", primary, target, comparer)
    assert not {"clothing", "background"} & similarity.keys()
    (change,) = prune(primary, target, similarity).changed
    assert (change.element, change.primary, change.target) == ("clothing", None, "new clothing")
    assert change.similarity is None


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_gamma_is_a_share(gamma: float) -> None:
    with pytest.raises(ValueError, match="it must be from 0 to 1"):
        prune(PRIMARY, TARGET, dict.fromkeys(ELEMENTS, 0.0), gamma)


def test_waits_double_up_to_a_limit_and_half_of_each_is_chance() -> None:
    patience = Patience(attempts=9, first_wait_s=1, longest_wait_s=20)
    assert [patience.wait_s(n, None, chance=0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    chance = random.Random(0)
    for attempt in range(1, 1000):
        ceiling = min(20, 2.0 ** (attempt - 1))
        assert ceiling / 2 <= patience.wait_s(attempt, None, chance.random()) <= ceiling
        assert 7 + ceiling / 2 <= patience.wait_s(attempt, 7, chance.random()) <= 7 + ceiling


@pytest.mark.parametrize("values", [{"attempts": 0}, {"attempts": 1.5}, {"first_wait_s": -1}])
def test_patience_makes_sense(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} is"):
        Patience(**values)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_it_reads_how_long_a_server_asks_to_wait(value: str, seconds: float | None) -> None:
    """784111777 is the date of RFC 9110's example, as seconds since 1970."""
    # Here, since the client of servers takes a second in every process that only collects this file.
    from generator.prompts.backends.server import retry_after_s

    assert retry_after_s({"retry-after": value}, now=784111777 - 30) == seconds
    assert retry_after_s({}, now=0) is None


def test_tokens_that_nobody_priced_or_counted_are_not_free(tmp_path) -> None:
    transcript = Transcript(tmp_path / "t.jsonl")
    assert summarise(transcript, {})["cost"] is None
    answered = {"faults": [], "reply": "{}", "usage": {"prompt": 3_000_000, "completion": 500_000}}
    transcript.append({"model": "a", **answered})
    transcript.append({"model": "a", **answered, "usage": None})
    transcript.append({"model": "a", "faults": ["http_500"], "reply": None, "usage": None})
    summary = summarise(transcript, {"a": Price(2, 10)})
    assert summary["cost"] == 3 * 2 + 0.5 * 10
    assert (summary["calls"], summary["calls_without_usage"], summary["failures"]) == (3, 1, {"http_500": 1})
    transcript.append({"model": "b", **answered})
    assert summarise(transcript, {"a": Price(2, 10)})["cost"] is None
    with pytest.raises(ValueError, match="prompt is -1; it must be at least 0"):
        Price(-1, 0)
