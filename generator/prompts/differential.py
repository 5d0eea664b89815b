"""Putting a differential prompt together: one sentence a changed element, in the fixed order."""

from __future__ import annotations

from collections.abc import Mapping

from generator.records import ELEMENTS, DifferentialPrompt, ElementChange


def make_prompt(statements: Mapping[str, str]) -> str:
    """The text that the model reads.

    Args:
        statements: for each changed element one sentence that asks for the change.

    Returns:
        The sentences in the order of `ELEMENTS`, whatever the order given; empty when nothing changes.

    Raises:
        ValueError: an unknown element, or an empty sentence.
    """
    _check_elements(statements)
    sentences = [_sentence(element, statements[element]) for element in ELEMENTS if element in statements]
    return " ".join(sentences)


def differential_prompt(
    primary: Mapping[str, str] | None,
    targets: Mapping[str, str],
    statements: Mapping[str, str],
    similarity: Mapping[str, float] | None = None,
) -> DifferentialPrompt:
    """A prompt with all seven elements, changed or not.

    Args:
        primary: how the primary reference shows the elements, or None where nobody described it.
        targets: how the target shall show each changed element.
        statements: for the same elements, one sentence each that asks for the change.
        similarity: of the primary's and the target's descriptions, in [0, 1], where it was measured.

    Raises:
        ValueError: an unknown element, a change without a sentence or the reverse, or a change to what the
            primary shows already.
    """
    _check_elements(targets)
    if targets.keys() != statements.keys():
        odd = sorted(targets.keys() ^ statements.keys())
        raise ValueError(f"{odd[0]} needs both a target and a sentence")
    primary, similarity = primary or {}, similarity or {}
    for element, target in targets.items():
        if primary.get(element) == target:
            raise ValueError(f"{element} is {target!r} in the primary already; leave it out")
    return DifferentialPrompt(
        text=make_prompt(statements),
        elements=tuple(
            ElementChange(
                element=element,
                primary=primary.get(element),
                target=targets.get(element, primary.get(element)),
                changed=element in targets,
                similarity=similarity.get(element),
                statement=_sentence(element, statements[element]) if element in targets else "",
            )
            for element in ELEMENTS
        ),
    )


def _check_elements(given: Mapping[str, str]) -> None:
    for element in given:
        if element not in ELEMENTS:
            raise ValueError(f"unknown element {element!r}; it must be one of {', '.join(ELEMENTS)}")


def _sentence(element: str, text: str) -> str:
    """One line that ends like a sentence.

    Raises:
        ValueError: there is no word in it.
    """
    text = " ".join(text.split())
    if not text:
        raise ValueError(f"the sentence for {element} is empty")
    return text if text.endswith((".", "!", "?")) else f"{text}."
