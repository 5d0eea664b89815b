"""Which pairs each participant of a user study is shown, in which order and on which sides.

A pair is two models' videos of one item (an input with its noise). Whoever takes part is given consecutive
places of two endless cycles, one of the model pairs and one of the items, so that

    every model pair, and every item, comes equally often, to within one, for each participant and over all;

which of a participant's items go with which of their model pairs is decided so that combinations come that
were used least so far, and none twice. Of each model pair either model stands on the left equally often, to
within one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
import scipy  # its parts are loaded when they are used: the web reads this file with every start
from numpy.typing import NDArray


class Criterion(StrEnum):
    """What a participant compares two videos by."""

    IDENTITY_FIDELITY = "identity_fidelity"
    PROMPT_CONTROLLABILITY = "prompt_controllability"
    ELEMENT_CONSISTENCY = "element_consistency"
    VISUAL_QUALITY = "visual_quality"

    @property
    def label(self) -> str:
        """As a heading."""
        return self.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Planned:
    """One pair that one participant is shown."""

    item: int  # index of the input
    first: str  # the model that comes earlier in the list of models
    second: str  # the other one
    first_on_left: bool  # whether the first model's video stands on the left


def plan_study(
    models: Sequence[str], num_items: int, participants: int, pairs_each: int, *, seed: int = 0
) -> list[list[Planned]]:
    """Plan a study; the same arguments give the same plan.

    Args:
        models: names, at least 2.
        num_items: inputs of which every model has a video.
        participants: people, at least 1.
        pairs_each: pairs that each of them is shown.
        seed: of everything that is left to chance.

    Returns:
        Of each participant their pairs, in the order in which they are shown.

    Raises:
        ValueError: too few models or items for so many different pairs.
    """
    if len(set(models)) < 2 or len(set(models)) < len(models):
        raise ValueError(f"models are {', '.join(models) or 'none'}; give two or more different ones")
    if participants < 1 or pairs_each < 1:
        raise ValueError(f"{participants} participants x {pairs_each} pairs is no study; give 1 or more")
    matches = list(combinations(models, 2))
    if pairs_each > len(matches) * num_items:
        raise ValueError(
            f"{pairs_each} pairs a participant are more than the {len(matches) * num_items} that there are "
            f"({len(matches)} of models x {num_items} inputs); ask for fewer, or add inputs"
        )
    rng = np.random.default_rng(seed)
    order, items = rng.permutation(len(matches)), rng.permutation(num_items)
    used = np.zeros((num_items, len(matches)))
    sides: Counter[int] = Counter()
    plans = []
    for number in range(participants):
        places = number * pairs_each + np.arange(pairs_each)
        pairs = _combine(items[places % num_items], order[places % len(matches)], used, rng)
        for item, match in pairs:
            used[item, match] += 1
        shuffled = [pairs[index] for index in rng.permutation(pairs_each)]
        plans.append(_on_sides(shuffled, matches, sides, rng))
    return plans


def _combine(
    items: NDArray[np.int64], matches: NDArray[np.int64], used: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Items (K) with model pairs (K), the least used combinations first and none twice.

    It is a transport of items to model pairs over ways that hold one each, whose linear programme has whole
    numbers as its corners. As even as both are, there always is one.
    """
    rows, columns = used.shape
    solution = scipy.optimize.linprog(
        (used + rng.random(used.shape) / 2).ravel(),
        A_eq=np.vstack([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))]),
        b_eq=np.concatenate([np.bincount(items, minlength=rows), np.bincount(matches, minlength=columns)]),
        bounds=(0, 1),
        method="highs-ds",
    )
    return [(int(item), int(match)) for item, match in np.argwhere(solution.x.reshape(used.shape) > 0.5)]


def _on_sides(
    pairs: Sequence[tuple[int, int]],
    matches: Sequence[tuple[str, str]],
    sides: Counter[int],
    rng: np.random.Generator,
) -> list[Planned]:
    """Put videos on sides: of a model pair in turn; on even terms, as evens out what this person sees.

    `sides` says how much oftener the first model of each pair stood on the left so far, and is updated.
    """
    lefts: Counter[str] = Counter()
    planned = []
    for item, match in pairs:
        first, second = matches[match]
        surplus = sides[match] or lefts[first] - lefts[second]
        first_on_left = surplus < 0 or (surplus == 0 and rng.random() < 0.5)
        sides[match] += 1 if first_on_left else -1
        lefts[first if first_on_left else second] += 1
        lefts[second if first_on_left else first] -= 1
        planned.append(Planned(item, first, second, first_on_left))
    return planned
