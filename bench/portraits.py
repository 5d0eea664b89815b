"""What the tiny AnyID makes of people it never saw, by the oracle: full, and without what the paper ablates.

Rows: the right answers as the renderer draws them and as the VAE gives them back (what a perfect model could
reach), the full model with four references, with an empty condition as long as those, without assistant
references, and with the LoRA that was trained without a primary and without differential prompts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.timing import OUTPUT, machine
from generator.model.checkpoint import load_pipeline
from generator.model.pipeline import AnyIDPipeline
from generator.portraits.oracle import Oracle
from generator.portraits.train.measure import Trial, draw_sheet, draw_trials, sample_trials, score
from generator.portraits.world import ABLATION, CHECKPOINT

TRIALS_PER_PERSON = 5
VIDEOS_PER_TRIAL = 2
REFERENCES = 4
SHEET_VIDEOS = 24
MEASURES = ("identity_top1", "identity_similarity", "changed", "unchanged")

Figures = dict[str, Any]


def main() -> None:
    pipeline, oracle = load_pipeline(CHECKPOINT), Oracle.load()
    trials = draw_trials(TRIALS_PER_PERSON, REFERENCES)
    rows = _measure_answers(pipeline, trials, oracle)
    rows["full"], videos = _measure(pipeline, trials, oracle)
    single = [trial.with_references(1) for trial in trials]
    rows["without assistant references"], _ = _measure(pipeline, single, oracle)
    pipeline.register_to_config(empty_references="same")
    rows["full, empty condition as long as the references"], _ = _measure(pipeline, trials, oracle)
    pipeline.register_to_config(empty_references="one")
    ablated = load_pipeline(CHECKPOINT, [ABLATION])
    rows["without primary and differential"], _ = _measure(ablated, trials, oracle)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    figures = {"machine": machine(), "oracle": oracle.trust, "rows": rows}
    (OUTPUT / "portraits.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    chosen = np.random.default_rng(0).choice(len(trials), min(SHEET_VIDEOS, len(trials)), replace=False)
    draw_sheet([trials[i] for i in chosen], [videos[i] for i in chosen], OUTPUT / "portraits.png")
    print(table(rows))
    print(
        f"written to {OUTPUT / 'portraits.json'}, {len(chosen)} random videos to {OUTPUT / 'portraits.png'}"
    )


def _measure_answers(pipeline: AnyIDPipeline, trials: Sequence[Trial], oracle: Oracle) -> dict[str, Figures]:
    """The oracle on right answers: its own limit, and the VAE's."""
    drawn = [trial.draw_answer()[None] for trial in trials]
    again = [pipeline.decode_latents(pipeline.encode_video(answer[0])) for answer in drawn]
    return {
        "drawn": score(trials, drawn, oracle),
        "drawn, through the VAE": score(trials, again, oracle),
    }


def _measure(
    pipeline: AnyIDPipeline, trials: Sequence[Trial], oracle: Oracle
) -> tuple[Figures, list[np.ndarray]]:
    start = time.perf_counter()
    videos = sample_trials(pipeline, trials, videos=VIDEOS_PER_TRIAL)
    seconds = (time.perf_counter() - start) / (len(trials) * VIDEOS_PER_TRIAL)
    return {**score(trials, videos, oracle), "seconds_per_video": round(seconds, 3)}, videos


def table(rows: dict[str, Figures]) -> str:
    """Markdown: mean and 95 % interval of each measure."""
    lines = ["| | " + " | ".join(MEASURES) + " | videos |", "| --- |" + " --- |" * (len(MEASURES) + 1)]
    for name, figures in rows.items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*figures[measure]) for measure in MEASURES]
        lines.append(f"| {name} | {' | '.join(cells)} | {figures['videos']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
