"""What the demo prints, and remembers between runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

Say = Callable[[str], None]


class Progress:
    """What the demo prints and remembers between runs."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.folder = settings.VAR_DIR / "demo"
        self.folder.mkdir(parents=True, exist_ok=True)
        report = self.folder / "report.json"
        self.wall_s: dict[str, float] = json.loads(report.read_text())["wall_s"] if report.exists() else {}

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Time a stage; one that finds its work done keeps the time of the run that did it."""
        self.say(title)
        start = time.monotonic()
        yield
        spent = round(time.monotonic() - start, 1)
        self.wall_s[name] = max(spent, self.wall_s.get(name, 0.0))
