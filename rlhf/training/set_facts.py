"""What a set for supervised training is made of, in numbers, and the hash of its content."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.training.instances import RATE_TOLERANCE


@dataclass(frozen=True)
class SetFacts:
    """What a set is made of. Every count is of instances, but for `num_people` and `num_clips`.

    Attributes:
        num_instances: all of them.
        num_people: different people; 0 where nobody said who is who.
        num_clips: different targets.
        licences: by licence; "" where none is stated.
        rates: by frames per second of the target, such as "8" or "29.97".
        sizes: by width, height and frames of the target, such as "64x64, 9 frames".
        references: by number of references.
    """

    num_instances: int = 0
    num_people: int = 0
    num_clips: int = 0
    licences: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    references: Mapping[str, int] = field(default_factory=dict)

    @property
    def slowest(self) -> float | None:
        """The lowest rate of a target, at which all are learned where nobody asks for another."""
        return min(map(float, self.rates), default=None)

    @property
    def largest(self) -> str:
        """The size of a target with the most pixels in all; empty where nothing is in the set."""
        return max(self.sizes, key=pixels_of, default="")

    def too_slow_for(self, fps: int) -> int:
        """Instances whose targets have fewer frames per second than a run asks for."""
        slow = (count for rate, count in self.rates.items() if float(rate) < fps * (1 - RATE_TOLERANCE))
        return sum(slow)


def rate_name(fps: float) -> str:
    """A rate as facts name it."""
    return f"{fps:.4g}"


def size_name(width: int, height: int, num_frames: int) -> str:
    """A size as facts name it."""
    return f"{width}x{height}, {num_frames} frames"


def pixels_of(size: str) -> int:
    """Of all frames of a size together."""
    width, height, frames = map(int, re.findall(r"\d+", size))
    return width * height * frames


def in_order(counts: Counter[str]) -> dict[str, int]:
    """Counts, the most frequent first."""
    return dict(counts.most_common())


class ContentHash:
    """Sha256 over what a set's instances are made of: not over where their files lie."""

    def __init__(self) -> None:
        """Of no instance yet."""
        self._digest = hashlib.sha256()

    def add(
        self, name: str, person: str, prompt: str, references: Iterable[Sequence[str]], target: str
    ) -> None:
        """Take an instance in, in the order of the set.

        Args:
            name: its id.
            person: its `id_group`.
            prompt: its text.
            references: sha256 and kind of each, the primary first.
            target: sha256 of the clip.
        """
        content: list[Any] = [name, person, prompt, [list(reference) for reference in references], target]
        self._digest.update(json.dumps(content, ensure_ascii=False).encode() + b"\n")

    def hex(self) -> str:
        """Of what was added."""
        return self._digest.hexdigest()
