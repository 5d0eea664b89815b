"""What the queue knows of each stage of the loop. A room that has one says so in its module `stage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from django.conf import settings

from annotate.models import Run
from generator.parts import Parts, ends_of_batches
from generator.rundir import RunDir


@dataclass(frozen=True)
class Sharding:
    """How the runs of a stage are worked on in parts, by workers without a database.

    Attributes:
        parts: the module that cuts a request and makes a part of it, see `generator.parts`.
        unit: what people call its items, in the plural.
        seconds: that one of these is known to take; None where nothing is known.
        refusal: who in a part of the request, from one place to before another, does not agree to it now.
        store: believes items that were made; gives how many of them are there.
        is_stored_at_once: each item as soon as it is made, rather than all when an attempt at a shard ends.
        store_failure: notes why an item could not be made.
        result: what the run has come to, once no part of it is under way; where there is none, the stage's
            command then makes it, as a whole run that finds all items there.
    """

    parts: str
    unit: str
    seconds: Callable[[Run], float | None]
    refusal: Callable[[Run, dict[str, Any], int, int], str]
    store: Callable[[Run, Sequence[str]], int] = lambda run, names: len(names)
    is_stored_at_once: bool = False
    store_failure: Callable[[Run, Mapping[str, Any]], None] = lambda run, failure: None
    result: Callable[[Run, dict[str, Any]], dict[str, Any]] | None = None

    def ends(self, run: Run, request: Mapping[str, Any]) -> list[int]:
        """Places after which a run's request may be cut, the last of which is its end."""
        parts = cast(Parts, import_module(self.parts))
        return ends_of_batches(parts.items(request, RunDir(settings.STORAGE_ROOT / run.folder)))


@dataclass(frozen=True)
class StageWork:
    """A stage, as the queue runs it.

    Attributes:
        name: of the stage, as runs store it.
        command: the module that does the work in a run's folder, the one that a researcher starts, too.
        sharding: how its runs are worked on in parts; a stage without it has whole runs.
        refusal: who in a queued run's request does not agree to it now, and the remedy; empty where all do.
        follow: stores what new metric lines announce; safe to repeat.
        finish: stores what a result becomes, in the transaction in which the run ends.
        next_run: queues the run that follows a finished one.
        details: what the run's page shows of this stage only, asked for as often as the page.
    """

    name: str
    command: str
    refusal: Callable[[Run, dict[str, Any]], str]
    sharding: Sharding | None = None
    follow: Callable[[Run, Sequence[Mapping[str, Any]]], None] = lambda run, lines: None
    finish: Callable[[Run, dict[str, Any]], None] = lambda run, result: None
    next_run: Callable[[Run], Run | None] = lambda run: None
    details: Callable[[Run], dict[str, Any]] = lambda run: {}


_WORKS: dict[str, StageWork] = {}


def register(work: StageWork) -> StageWork:
    """Make a stage known; the last one of a name counts."""
    _WORKS[work.name] = work
    return work


def work_of(stage: str) -> StageWork:
    """What a stage is to the queue.

    Raises:
        KeyError: no room has this stage.
    """
    return _WORKS[stage]


def discover() -> None:
    """Import the module `stage` of every room that has one."""
    for file in sorted(Path(__file__).parents[1].glob("*/stage.py")):
        import_module(f"annotate.{file.parent.name}.stage")
