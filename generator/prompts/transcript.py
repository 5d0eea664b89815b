"""The record of every question that was asked: one JSON object a line, and what it adds up to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from generator.validation import Number, record


@record
class Price:
    """What a model's tokens cost, in the currency of whoever set it, per million.

    Raises:
        ValueError: a negative price.
    """

    prompt: Number = Field(ge=0, description="of tokens read")
    completion: Number = Field(ge=0, description="of tokens written")


class Transcript:
    """Appends to and reads one file of questions and answers; threads may share it.

    Args:
        path: the file; a line that a kill tore off is dropped.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at its last whole line."""
        self.path = path
        self._lock = threading.Lock()
        if path.exists():
            with open(path, "r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one line."""
        line = (json.dumps(entry, allow_nan=False) + "\n").encode()
        with self._lock, open(self.path, "ab", buffering=0) as file:
            file.write(line)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with open(self.path, encoding="utf-8") as file:
                yield from map(json.loads, file)


def summarise(entries: Iterable[Mapping[str, Any]], prices: Mapping[str, Price]) -> dict[str, Any]:
    """What a run's questions came to, over all its restarts.

    Args:
        entries: of the transcripts.
        prices: of the models that have one, by name.

    Returns:
        `calls`; `failures`, by kind; `tokens` read and written; `calls_without_usage`, whose tokens nobody
        reported; `cost`, or None where some model that answered has no price: unknown is not free.
    """
    calls, unknown = 0, 0
    failures: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    cost: float | None = 0.0
    for entry in entries:
        calls += 1
        failures.update(entry["faults"])
        usage = entry["usage"]
        if usage is None:
            unknown += entry["reply"] is not None
            continue
        tokens.update(usage)
        price = prices.get(entry["model"])
        if cost is not None:
            cost = None if price is None else cost + _cost(usage, price)
    return {
        "calls": calls,
        "failures": dict(sorted(failures.items())),
        "tokens": {"prompt": tokens["prompt"], "completion": tokens["completion"]},
        "calls_without_usage": unknown,
        "cost": cost if tokens else None,
    }


def say(summary: Mapping[str, Any]) -> str:
    """A summary in one line."""
    failures = ", ".join(f"{count} {kind}" for kind, count in summary["failures"].items())
    tokens, cost = summary["tokens"], summary["cost"]
    return (
        f"{summary['calls']} calls; failures: {failures or 'none'}; "
        f"tokens: {tokens['prompt']} read, {tokens['completion']} written; "
        f"cost: {'unknown' if cost is None else format(cost, '.4f')}"
    )


def _cost(usage: Mapping[str, int], price: Price) -> float:
    return (usage["prompt"] * price.prompt + usage["completion"] * price.completion) / 1e6
