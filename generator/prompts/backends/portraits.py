"""The portrait world as a model to ask: it knows what is drawn, and errs as much as it is told to.

It stands where a vision-language model would stand and answers the same questions in the same JSON, so that
asking, checking, comparing and pruning can be measured against the truth.

Errors are planted in *readings*: one look at one element of one medium. A reading is omitted, or names a
state that is not there, at the same rates whether the model writes both descriptions (two stages) or sees
both media and writes the changes (one step). What differs is what becomes of an omission: a description
without an element is incomplete, which shows, and is asked for again; a change that is not mentioned looks
like no change.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from typing import Any

from pydantic import Field

from generator.portraits.paraphrases import CONCEPTS, PARAPHRASES, STATES
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.prompts.asking import ModelError, Question, Reply
from generator.prompts.pictures import Medium
from generator.records import ELEMENTS
from generator.validation import Share, record

#: How much of a similarity is meaning; the rest is sway by the words, and chance.
MEANING = 0.75
#: Standard deviation of the chance in a similarity, when paraphrases are spoken.
JUDGING_NOISE = 0.08

#: Finds the true state of the seven elements of a medium.
Known = Callable[[Medium], Mapping[str, str]]


@record
class Errors:
    """How often readings go wrong; none at all by default.

    Raises:
        ValueError: a share out of [0, 1].
    """

    omitted: Share = Field(default=0.0, description="share of readings that are left out")
    invented: Share = Field(default=0.0, description="share of readings that name another state")
    paraphrased: bool = Field(
        default=False, description="say states in changing words, and judge those with some noise"
    )
    seed: int = Field(default=0, description="of the chance")


class PortraitModel:
    """A `generator.prompts.asking.Model` that knows the answer.

    Args:
        known: the truth of a medium.
        errors: what goes wrong on the way.
    """

    name = "portrait world"

    def __init__(self, known: Known, errors: Errors | None = None) -> None:
        self._known, self._errors = known, errors or Errors()

    def reply(self, question: Question) -> Reply:
        """Answer a description, a comparison or a one-step question; equal questions get equal replies.

        Raises:
            ModelError: it knows nothing of the medium or the words.
        """
        chance = random.Random(f"{self._errors.seed}/{question.question_id}/{question.attempt}")
        answers = {"description": self._describe, "comparison": self._compare, "changes": self._changes}
        return Reply(json.dumps(answers[question.form.name](question, chance)))

    def _describe(self, question: Question, chance: random.Random) -> dict[str, str]:
        readings = self._read(question.shown[0].medium, chance)
        return {element: self._say(element, state, chance) for element, state in readings.items()}

    def _compare(self, question: Question, chance: random.Random) -> dict[str, float]:
        noise = JUDGING_NOISE if self._errors.paraphrased else 0.0
        return {
            element: min(1.0, max(0.0, similarity(element, **said) + chance.gauss(0, noise)))
            for element, said in question.facts.items()
        }

    def _changes(self, question: Question, chance: random.Random) -> dict[str, Any]:
        """Compares what it read without any error of its own: better than a model would."""
        before, after = (self._read(shown.medium, chance) for shown in question.shown)
        changes: dict[str, Any] = dict.fromkeys(ELEMENTS)
        for element in before.keys() & after.keys():
            if before[element] != (state := after[element]):
                said = self._say(element, state, chance)
                changes[element] = {"target": said, "statement": phrase_change(element, state, 1)}
        return changes

    def _read(self, medium: Medium, chance: random.Random) -> dict[str, str]:
        """What it makes of a medium; elements may be missing."""
        readings = {}
        for element, state in self._known(medium).items():
            fate = chance.random()
            if fate < self._errors.omitted:
                continue
            if fate < self._errors.omitted + self._errors.invented:
                state = chance.choice([other for other in ELEMENT_STATES[element] if other != state])
            readings[element] = state
        return readings

    def _say(self, element: str, state: str, chance: random.Random) -> str:
        return chance.choice((state, *PARAPHRASES[element][state])) if self._errors.paraphrased else state


def similarity(element: str, primary: str, target: str) -> float:
    """How alike a reader who knows the world finds two phrases.

    MEANING * |A & B| / |A | B| + (1 - MEANING) * r, with A and B the concepts of what the phrases mean and r
    the share of their letters that match (difflib's ratio).

    Args:
        element: one of the seven.
        primary: a state of it, or a paraphrase of one.
        target: likewise.

    Returns:
        In [0, 1]; 1 for equal phrases.

    Raises:
        ModelError: a phrase is not of this world.
    """
    first, second = (CONCEPTS[element][_state(element, phrase)] for phrase in (primary, target))
    meaning = len(first & second) / len(first | second)
    letters = SequenceMatcher(None, primary, target, autojunk=False).ratio()
    return MEANING * meaning + (1 - MEANING) * letters


def read_elements(medium: Medium) -> Mapping[str, str]:
    """The truth that lies beside a drawn person's files.

    Raises:
        ModelError: the file is not of a drawn person.
    """
    facts = medium.path.parent / "identity.json"
    try:
        return dict(json.loads(facts.read_text(encoding="utf-8"))["files"][medium.path.name]["elements"])
    except (OSError, KeyError, json.JSONDecodeError):
        raise ModelError(
            "unknown_medium",
            f"{medium.path} is not of a drawn person: {facts} does not tell its elements",
            is_transient=False,
        ) from None


def _state(element: str, phrase: str) -> str:
    try:
        return STATES[element][phrase]
    except KeyError:
        raise ModelError(
            "unknown_words", f"{phrase!r} says nothing of {element} in the portrait world", is_transient=False
        ) from None
