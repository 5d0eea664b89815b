"""What jobs there are. A room that has some says so in its module `background`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from annotate.models import Job, Run

#: Hears how much is done, and of how much where that is known.
Tell = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        text: a sentence.
        link: the page that shows it.
        run: one that it queued, to be sent.
        result: what pages and programs read of it, as JSON.
    """

    text: str
    link: str
    run: Run | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        name: as jobs store it.
        title: what its page calls it.
        do: the work. A job whose worker was killed is done again, so it must be safe to repeat.
        refusals: errors that whoever asked can put right; their message is the job's.
        is_look: it changes nothing, and finds something out for a page; see `looks`.
    """

    name: str
    title: str
    do: Callable[[Job, Tell], Outcome]
    refusals: tuple[type[Exception], ...] = ()
    is_look: bool = False


_KINDS: dict[str, JobKind] = {}


def register(kind: JobKind) -> JobKind:
    """Make a kind known; the last one of a name counts."""
    _KINDS[kind.name] = kind
    return kind


def kind_of(name: str) -> JobKind:
    """
    Raises:
        KeyError: no room has this kind.
    """
    return _KINDS[name]


def looks() -> list[str]:
    """The names of those that are looks."""
    return [kind.name for kind in _KINDS.values() if kind.is_look]


def discover() -> None:
    """Import the module `background` of every room that has one."""
    for file in sorted(Path(__file__).parents[1].glob("*/background.py")):
        import_module(f"annotate.{file.parent.name}.background")
