"""From a primary reference and a target to what changes: describe both, compare, prune; or all in one step.

    kept changes = {element: similarity(primary, target) < gamma}

Source: AnyID, primary-referenced generation, the two-stage extraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from generator.prompts.differential import differential_prompt
from generator.prompts.pictures import Medium
from generator.records import ELEMENTS, DifferentialPrompt

#: Elements at least so alike count as unchanged: the best F1 of `python -m bench prompts`.
GAMMA = 0.6

#: What a medium shows of each element, in words; None where it cannot be seen.
Description = Mapping[str, str | None]


class Describer(Protocol):
    """Says what a medium shows: the first stage."""

    def describe(self, medium: Medium) -> Description:
        """All seven elements.

        Raises:
            UnansweredError: whoever was asked gave no proper answer.
            ValueError: the medium is not readable.
            OSError: the medium cannot be opened.
        """


class Comparer(Protocol):
    """Says how alike two descriptions are: the second stage."""

    def compare(
        self, question_id: str, primary: Mapping[str, str], target: Mapping[str, str]
    ) -> Mapping[str, float]:
        """Similarity of each element, in [0, 1], where 1 is the same thing in whatever words.

        Args:
            question_id: names the comparison in transcripts.
            primary: elements of the primary reference.
            target: the same elements of the target.

        Raises:
            UnansweredError: whoever was asked gave no proper answer.
        """


class Observer(Protocol):
    """Sees both at once and writes the changes: the one-step mode."""

    def changes(self, question_id: str, primary: Medium, target: Medium) -> Mapping[str, tuple[str, str]]:
        """For each changed element how the target shows it, and a sentence that asks for it.

        Raises:
            UnansweredError: whoever was asked gave no proper answer.
            ValueError: a medium is not readable.
            OSError: a medium cannot be opened.
        """


def compare_elements(
    question_id: str, primary: Description, target: Description, comparer: Comparer
) -> dict[str, float]:
    """Similarity of the elements that both media show.

    Equal words are alike without a question. An element that either does not show has no similarity.
    """
    both = {
        element: (before, after)
        for element in ELEMENTS
        if (before := primary[element]) is not None and (after := target[element]) is not None
    }
    asked = {element: pair for element, pair in both.items() if not _same_words(*pair)}
    similarity = dict.fromkeys(both, 1.0)
    if asked:
        befores = {element: before for element, (before, _) in asked.items()}
        afters = {element: after for element, (_, after) in asked.items()}
        similarity |= comparer.compare(question_id, befores, afters)
    return similarity


def prune(
    primary: Description, target: Description, similarity: Mapping[str, float], gamma: float = GAMMA
) -> DifferentialPrompt:
    """The differential prompt of two descriptions.

    Args:
        primary: of the primary reference.
        target: of the target.
        similarity: of the elements that both show.
        gamma: in [0, 1]; elements at or above it are unchanged.

    Returns:
        A prompt that asks for what the target shows and the primary does not: what differs, and what the
        primary leaves open because it cannot be seen there.

    Raises:
        ValueError: gamma is out of range.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma}; it must be from 0 to 1")
    targets = {
        element: shown
        for element in ELEMENTS
        if (shown := target[element]) is not None
        and (primary[element] is None or similarity[element] < gamma)
    }
    statements = {element: say_change(element, shown) for element, shown in targets.items()}
    known = {element: shown for element, shown in primary.items() if shown is not None}
    return differential_prompt(known, targets, statements, similarity)


def say_change(element: str, target: str) -> str:
    """A sentence that asks for what a description says, such as "The clothing changes to a red shirt."."""
    verb = "change" if element == "accessories" else "changes"
    return f"The {element.replace('_', ' ')} {verb} to {target}"


def _same_words(first: str, second: str) -> bool:
    return first.casefold().split() == second.casefold().split()
