"""How far the oracle can be trusted, and where each of its scores ends: two tables.

The first is of pairs of clips that answer one question: as the renderer draws the right answer, degraded, and
as models make it. The second is of planted faults: how often each is seen where it is, and where it is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from bench.timing import machine
from generator.model.checkpoint import load_pipeline
from generator.model.pipeline import AnyIDPipeline
from generator.portraits.blur import blur
from generator.portraits.fault_reading import STILL, read_faults
from generator.portraits.oracle import (
    Oracle,
    Reading,
    controllability_log_likelihood,
    identity_log_likelihood,
    identity_similarity,
)
from generator.portraits.people import plan_person
from generator.portraits.planted_faults import PlantedFault, render_target
from generator.portraits.render import render_clip
from generator.portraits.train.measure import FIRST_HELD_OUT, Trial, draw_trials, sample_trials
from generator.portraits.world import CHECKPOINT, SUPERVISED, draw_identity

RESULT = Path("bench/results/oracle.json")
TRIALS_PER_PERSON, REFERENCES = 2, 4
#: Above it, the old score of identity tells hardly anything apart.
SATURATED = 0.99

Array = np.ndarray
Pairs = Sequence[Sequence[Array]]


def main() -> None:
    """Measure, print and keep."""
    torch.manual_seed(0)
    oracle, pipeline = Oracle.load(), load_pipeline(CHECKPOINT)
    trials = draw_trials(TRIALS_PER_PERSON, REFERENCES)
    groups = {trial.person: _group(trial.person, oracle) for trial in trials}
    rows = {
        name: measure(trials, pairs, groups, oracle) for name, pairs in conditions(trials, pipeline).items()
    }
    degrees = {"as drawn": lambda clip: clip, "through the VAE": lambda clip: _again(clip, pipeline)}
    faults = {name: read_planted(trials, groups, oracle, change) for name, change in degrees.items()}
    RESULT.write_text(json.dumps({"machine": machine(), "scores": rows, "faults": faults}, indent=1) + "\n")
    print(score_table(rows), fault_table(faults), sep="\n\n")


def conditions(trials: Sequence[Trial], pipeline: AnyIDPipeline) -> dict[str, Pairs]:
    """Two clips for each question, by where they come from."""
    drawn = [[_answer(trial, number) for number in (0, 1)] for trial in trials]
    rng = np.random.default_rng(0)

    def noisy(clip: Array) -> Array:
        return (clip + rng.normal(0, 25, clip.shape)).clip(0, 255).round().astype(np.uint8)

    def changed(change: Callable[[Array], Array]) -> Pairs:
        return [[change(clip) for clip in pair] for pair in drawn]

    supervised = load_pipeline(CHECKPOINT, [SUPERVISED])
    return {
        "drawn": drawn,
        "blurred by 1.2 pixels": changed(lambda clip: _blurred(clip, 1.2)),
        "noisy (10 %)": changed(noisy),
        "through the VAE": changed(lambda clip: _again(clip, pipeline)),
        "the shipped base, guidance 5": sample_trials(pipeline, trials, videos=2),
        "supervised, without guidance": sample_trials(
            supervised, trials, videos=2, steps=10, guidance_scale=1.0
        ),
    }


def _answer(trial: Trial, number: int) -> Array:
    identity = draw_identity(FIRST_HELD_OUT + trial.person)
    return render_clip(identity, trial.after, seed=2 * trial.seed + number)


def _blurred(clip: Array, sigma: float) -> Array:
    pixels = blur(torch.from_numpy(clip).permute(0, 3, 1, 2).float(), sigma)
    blurred: Array = pixels.round().byte().permute(0, 2, 3, 1).numpy()
    return blurred


def _again(clip: Array, pipeline: AnyIDPipeline) -> Array:
    again: Array = pipeline.decode_latents(pipeline.encode_video(clip))[0]
    return again


def _group(person: int, oracle: Oracle) -> list[Reading]:
    identity = draw_identity(FIRST_HELD_OUT + person)
    return [oracle.read(item.render(identity)) for item in plan_person(FIRST_HELD_OUT + person)]


def measure(
    trials: Sequence[Trial], pairs: Pairs, groups: Mapping[int, list[Reading]], oracle: Oracle
) -> dict[str, float]:
    """What both scores of identity, and the open one of controllability, make of pairs of clips."""
    old, new, elements, halves = [], [], [], []
    for trial, pair in zip(trials, pairs, strict=True):
        group = groups[trial.person]
        readings = [oracle.read(clip) for clip in pair]
        old.append([identity_similarity(reading, group) for reading in readings])
        new.append([identity_log_likelihood(reading, group) for reading in readings])
        elements.append([controllability_log_likelihood(reading, trial.after) for reading in readings])
        for part in (slice(0, None, 2), slice(1, None, 2)):
            halves.append([identity_log_likelihood(oracle.read(clip[part]), group) for clip in pair])
    even, odd = (np.array(halves[start::2]) for start in (0, 1))
    return {
        "similarity": float(np.mean(old)),
        "saturated": float(np.mean(np.array(old) > SATURATED)),
        "similarity_difference": float(np.median(np.abs(np.diff(old)))),
        "identity_nats": float(np.median(new)),
        "identity_difference": float(np.median(np.abs(np.diff(new)))),
        "controllability_nats": float(np.median(elements)),
        "controllability_difference": float(np.median(np.abs(np.diff(elements)))),
        "same_winner": float(np.mean(np.diff(even) * np.diff(odd) > 0)),
    }


def read_planted(
    trials: Sequence[Trial],
    groups: Mapping[int, list[Reading]],
    oracle: Oracle,
    change: Callable[[Array], Array],
) -> dict[str, dict[str, float]]:
    """Of each fault: share of clips with it in which it is seen, and of right clips in which it is."""
    seen: dict[PlantedFault | None, list[dict[PlantedFault, bool]]] = {}
    for trial in trials:
        asked = dict(trial.after)
        if asked["action"] == STILL:
            asked["action"] = "waving"
        for fault in (None, *PlantedFault):
            faults = () if fault is None else (fault,)
            person = draw_identity(FIRST_HELD_OUT + trial.person)
            clip = change(render_target(person, trial.before, asked, faults, seed=7 * trial.seed + 5))
            said = read_faults(
                oracle.read(clip),
                clip,
                references=groups[trial.person],
                primary=trial.before,
                expected=asked,
                changed=[element for element in asked if asked[element] != trial.before[element]],
            )
            seen.setdefault(fault, []).append(said)

    def share(planted: PlantedFault | None, fault: PlantedFault) -> float:
        return float(np.mean([said[fault] for said in seen[planted] if fault in said]))

    return {
        str(fault): {"seen": share(fault, fault), "in_right": share(None, fault)} for fault in PlantedFault
    }


def score_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: one row for each origin of clips."""
    head = (
        "| clips | old score | above 0.99 | two differ by | identity, nats | two differ by | "
        "controllability, nats | two differ by | odd and even frames agree |"
    )
    form = (
        "| {name} | {similarity:.3f} | {saturated:.2f} | {similarity_difference:.5f} | {identity_nats:.2f} | "
        "{identity_difference:.2f} | {controllability_nats:.2f} | {controllability_difference:.2f} | "
        "{same_winner:.2f} |"
    )
    return "\n".join(
        [head, "| --- |" + " --- |" * 8, *(form.format(name=n, **row) for n, row in rows.items())]
    )


def fault_table(faults: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: of each fault how often it is seen, as drawn and through the VAE."""
    lines = ["| fault | " + " | ".join(f"{name}: seen | in right clips" for name in faults) + " |"]
    lines.append("| --- |" + " --- |" * (2 * len(faults)))
    for fault in PlantedFault:
        cells = [f"{found[fault]['seen']:.2f} | {found[fault]['in_right']:.2f}" for found in faults.values()]
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
