"""The clips by which a training shows what it is learning, beside its parent's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from annotate.models import Run, VideoPair
from annotate.storage.opening import site_storage

#: Beside the parent's, as many of the newest are shown.
NEWEST = 3


@dataclass(frozen=True)
class ShownInput:
    """One input, and the steps after which a clip of it was made; step 0 is the parent."""

    name: str  # of its files
    label: str  # of its videos, for whoever does not see them
    person: str  # whom it shows
    prompt: str  # what it asks for
    steps: list[int]  # with a clip, the first and the newest


#: Tells of each name (of a clip's file) what its input is: label, person, prompt.
Tell = Callable[[Iterable[str]], dict[str, tuple[str, str, str]]]


def clip_path(run: Run, step: int, name: str) -> str:
    return f"{run.folder}/samples/step-{step}/{name}.mp4"


def shown_inputs(run: Run, tell: Tell) -> list[ShownInput]:
    """What the run's folder has clips of, in the order in which `tell` tells of it."""
    steps: dict[str, list[int]] = {}
    paths = (PurePosixPath(item.key) for item in site_storage().list(f"{run.folder}/samples"))
    for path in (path for path in paths if path.match("samples/step-*/*.mp4")):
        steps.setdefault(path.stem, []).append(int(path.parent.name.removeprefix("step-")))
    told = tell(steps)
    return [ShownInput(name, *told[name], _first_and_newest(sorted(steps[name]))) for name in told]


def tell_of_pairs(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Flow-DPO names its clips by pairs."""
    pairs = VideoPair.objects.filter(pk__in=names).select_related("instance__prompt", "instance__group")
    return {
        str(pair.pk): (str(pair), pair.instance.group.name, pair.instance.prompt.text)
        for pair in pairs.order_by("pk")
    }


def _first_and_newest(steps: list[int]) -> list[int]:
    return steps[:1] + steps[1:][-NEWEST:]
