"""Prompts that a model does not read whole are never trained on: what they ask for would not be learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from generator.rundir import RunError

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

#: Rows that a refusal names; it counts them all.
_NAMED = 3


def expect_read(pipeline: AnyIDPipeline, rows: Iterable[tuple[str, str]], remedy: str) -> None:
    """Accept rows whose prompts the model reads whole.

    Args:
        pipeline: of the model that is to be trained.
        rows: the name and the prompt of each.
        remedy: what to do about those that are not.

    Raises:
        RunError: a prompt has more tokens than the model reads, or words that it does not know; the message
            counts the rows and names the first ones.
    """
    reader = pipeline.prompt_reader()
    found = [(name, problem) for name, prompt in rows if (problem := reader.read(prompt).problem)]
    if not found:
        return
    named = "; ".join(f"{name}: {problem}" for name, problem in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    which = "1 prompt" if len(found) == 1 else f"{len(found)} prompts"
    raise RunError(f"{which} would not be read whole: {named}{more}; {remedy}")
