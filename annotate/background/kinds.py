"""What jobs there are. A room that has some says so in its module `background`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from annotate.models import Job, Run

#: Hears how much is done, and of how much where that is known.
Tell = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a job, in a sentence, the page that shows it, and a run that it queued, to be sent."""

    text: str
    link: str
    run: Run | None = None


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        name: as jobs store it.
        title: what its page calls it.
        do: the work. A job whose worker was killed is done again, so it must be safe to repeat.
        refusals: errors that whoever asked can put right; their message is the job's.
    """

    name: str
    title: str
    do: Callable[[Job, Tell], Outcome]
    refusals: tuple[type[Exception], ...] = ()


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


def discover() -> None:
    """Import the module `background` of every room that has one."""
    for file in sorted(Path(__file__).parents[1].glob("*/background.py")):
        import_module(f"annotate.{file.parent.name}.background")
