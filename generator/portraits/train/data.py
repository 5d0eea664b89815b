"""The rendered training set, made once and kept under the working folder as memory-mapped arrays."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.portraits.people import FRONT_CLIPS, NUM_FRAMES, SIDE_CLIPS, SIZE, plan_person
from generator.portraits.world import ELEMENT_STATES, draw_identity
from generator.records import ELEMENTS, ReferenceKind

Array = np.ndarray
CLIPS = FRONT_CLIPS + SIDE_CLIPS
#: How many people are drawn for training, from seed 0 on.
PEOPLE = 4000


@dataclass(frozen=True)
class Rendered:
    """N people, each with the same number of clips (first) and stills."""

    clips: Array  # (N, clips, F, H, W, 3) uint8
    stills: Array  # (N, stills, H, W, 3) uint8
    states: Array  # (N, clips + stills, 7) int64, index of each element's state
    identities: Array  # (N, D) float32, `Identity.vector()`


def render_people(folder: Path, first_seed: int, count: int, workers: int = 2) -> Rendered:
    """Draw people, or read them back when the folder already holds them.

    Args:
        folder: where the arrays lie; made when missing.
        first_seed: of the first person; the others follow.
        count: N.
        workers: processes that draw.

    Returns:
        The arrays, memory-mapped.

    Raises:
        ValueError: the folder holds other people.
    """
    request = {"first_seed": first_seed, "count": count, "version": 3}
    marker = folder / "people.json"
    if not marker.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(workers) as pool:
            drawn = list(pool.map(_draw_person, range(first_seed, first_seed + count), chunksize=16))
        for name, parts in zip(
            ("clips", "stills", "states", "identities"), zip(*drawn, strict=True), strict=True
        ):
            np.save(folder / f"{name}.npy", np.stack(parts))
        marker.write_text(json.dumps(request), encoding="utf-8")
    if json.loads(marker.read_text(encoding="utf-8")) != request:
        raise ValueError(
            f"{folder} holds other people than asked for ({request}); remove it or name another folder"
        )
    names = ("clips", "stills", "states", "identities")
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
    return Rendered(*arrays)


def _draw_person(seed: int) -> tuple[Array, Array, Array, Array]:
    identity, items = draw_identity(seed), plan_person(seed)
    drawn = [item.render(identity) for item in items]
    states = [
        [ELEMENT_STATES[element].index(item.elements[element]) for element in ELEMENTS] for item in items
    ]
    clips = [pixels for item, pixels in zip(items, drawn, strict=True) if item.kind is ReferenceKind.CLIP]
    stills = [
        pixels[0] for item, pixels in zip(items, drawn, strict=True) if item.kind is not ReferenceKind.CLIP
    ]
    assert len(clips) == CLIPS and clips[0].shape == (NUM_FRAMES, SIZE, SIZE, 3)
    return np.stack(clips), np.stack(stills), np.array(states), identity.vector()
