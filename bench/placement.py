"""Where references stand on the temporal axis, and in which order: four placements, trained alike.

From the same random weights, on the same instances, noise and times, each placement of the tiny transformer
is trained for some hundred steps and then asked for the velocity of people it has not seen. Losses are
compared person by person with the placement that is shipped. Needs the working folder of
`python -m generator.portraits.train transformer`, whose encoded people it reads.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.timing import report
from generator.model.order import ORDERS
from generator.model.precision import settle_precision
from generator.model.transformer import ReferencePosition
from generator.portraits.train.batches import Batch, Latents, cache_latents, draw_batch
from generator.portraits.train.optimiser import trapezoid
from generator.portraits.train.transformer import EMPTY_SHARE, Conditioned, Training

FOLDER = Path("var/train")
POSITIONS: tuple[ReferencePosition, ...] = ("after", "before")
SHIPPED = ("after", "primary_first")
STEPS, BATCH, HELD_OUT, LOOKS = 250, 16, 200, 4
PEAK_RATE = 1.5e-3


def main() -> None:
    if not (FOLDER / "latents" / "done").is_file():
        print(f"{FOLDER}/latents is not there; run `python -m generator.portraits.train transformer` first")
        return
    latents = cache_latents(FOLDER, 0, settle_precision(FOLDER, device="cpu"))
    losses = {
        (position, order): _train_and_ask(latents, position, order)
        for position, order in itertools.product(POSITIONS, ORDERS)
    }
    rows = [_row(placement, losses[placement], losses[SHIPPED]) for placement in losses]
    report("placement", rows, steps=STEPS, batch=BATCH, held_out_people=HELD_OUT, looks=LOOKS)


def _train_and_ask(latents: Latents, position: ReferencePosition, order: str) -> np.ndarray:
    """Mean loss of each held-out person, (HELD_OUT,)."""
    torch.manual_seed(0)
    training = Training(FOLDER, PEAK_RATE, settle_precision(FOLDER, device="cpu"), position)
    known = _people(latents, slice(None, -HELD_OUT))
    for step in range(STEPS):
        rng = np.random.default_rng([0, step])
        batch = draw_batch(known, BATCH, rng, order=order)
        if rng.random() < EMPTY_SHARE:
            empty = latents.empty.expand(BATCH, -1, -1, -1, -1)
            batch = Batch(batch.clean, empty, [""] * BATCH)
        training.advance(batch, torch.Generator().manual_seed(step), trapezoid(step, STEPS))
        if (step + 1) % 100 == 0:
            print(f"references {position} the target, {order}: {step + 1} of {STEPS} steps", flush=True)
    unseen = range(len(latents.clips) - HELD_OUT, len(latents.clips))
    return np.array([_ask(training.average, latents, person, order) for person in unseen])


@torch.no_grad()
def _ask(model: Conditioned, latents: Latents, person: int, order: str) -> float:
    """One person's loss at `LOOKS` instances, with noise and times that depend on the person alone."""
    rng = np.random.default_rng([2, person])
    batch = draw_batch(_people(latents, slice(person, person + 1)), LOOKS, rng, order=order)
    return float(model.loss(batch, torch.Generator().manual_seed(person)))


def _people(latents: Latents, chosen: slice) -> Latents:
    parts = {name: getattr(latents, name)[chosen] for name in ("clips", "stills", "states")}
    return replace(latents, **parts)


def _row(placement: tuple[str, str], losses: np.ndarray, shipped: np.ndarray) -> dict[str, Any]:
    position, order = placement
    excess = losses - shipped
    drawn = np.random.default_rng(0).choice(excess, size=(4000, len(excess))).mean(axis=1)
    return {
        "references": position,
        "order": order,
        "loss": float(losses.mean()),
        "more_than_shipped": float(excess.mean()),
        "interval_95": [float(value) for value in np.quantile(drawn, [0.025, 0.975])],
    }


if __name__ == "__main__":
    main()
