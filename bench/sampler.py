"""How fast a pair of videos is sampled, beside the straightforward way (`bench/straightforward.py`).

Both make the same two videos of a drawn person with the shipped checkpoint, four references and one prompt;
that they do is checked first, on the latents. Then they take turns. Everything from pictures and prompt to
frames is timed. Ours: `AnyIDPipeline`, both videos as one batch, each condition encoded once, two passes a
step. The straightforward way's guidance: `modality` has two conditions, references and prompt, and so three
passes a step; `reference` has five conditions, each reference and the prompt, and six passes. At one scale
for all conditions the sum telescopes to our unified condition, which is why both make the same video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.straightforward import Sampler, load, sample_videos
from bench.timing import median_interval, quartiles, report, take_turns
from generator.model.checkpoint import load_pipeline
from generator.model.pipeline import AnyIDPipeline
from generator.portraits.people import plan_person
from generator.portraits.world import CHECKPOINT, SPLIT_SEEDS, draw_identity, phrase_change
from generator.records import ReferenceKind

SIZE, NUM_FRAMES, STEPS, GUIDANCE_SCALE = 64, 9, 20, 5.0
SEEDS = (1, 2)
PERSON = SPLIT_SEEDS["benchmark"]
PROMPT = phrase_change("clothing", "a red shirt", 0)
CLIP, PHOTO, HALF_BODY = ReferenceKind.CLIP, ReferenceKind.PHOTO, ReferenceKind.HALF_BODY
#: Four references each, the primary first.
REFERENCES = {
    "stills": (PHOTO, PHOTO, HALF_BODY, HALF_BODY),
    "mixed": (CLIP, PHOTO, HALF_BODY, CLIP),
    "clips": (CLIP, CLIP, CLIP, CLIP),
}
ROUNDS = 5
#: Latents of both ways may differ by rounding alone.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """What both ways are asked for.

    Attributes:
        references: a name of `REFERENCES`.
        guidance: name of the straightforward way's conditions.
    """

    references: str
    guidance: str


CASES = (
    Case("stills", "modality"),
    Case("mixed", "modality"),
    Case("clips", "modality"),
    Case("mixed", "reference"),
)


def main() -> None:
    measure(CHECKPOINT)


def measure(
    checkpoint: Path, *, steps: int = STEPS, rounds: int = ROUNDS, cases: Sequence[Case] = CASES
) -> Path:
    """Check and time every case; prints the table and gives the JSON's place."""
    ours, theirs = load_pipeline(checkpoint), load(checkpoint)
    sampler = Sampler(
        height=SIZE,
        width=SIZE,
        num_frames=NUM_FRAMES,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE_SCALE,
        prompt_tokens=ours.config.max_sequence_length,
        position=ours.transformer.config.reference_position,
        same_empty=ours.config.empty_references == "same",
    )
    rows = [_measure_case(ours, theirs, sampler, case, rounds) for case in cases]
    return report("sampler", rows, steps=steps, rounds=rounds, seeds=SEEDS)


def _measure_case(
    ours: AnyIDPipeline, theirs: Any, sampler: Sampler, case: Case, rounds: int
) -> dict[str, Any]:
    references = draw_references(case.references)
    sampler = replace(sampler, by_reference=case.guidance == "reference")

    def unified() -> tuple[torch.Tensor, np.ndarray]:
        return sample_pair(ours, sampler, references, PROMPT)

    def straightforward() -> tuple[torch.Tensor, np.ndarray]:
        return sample_videos(theirs, sampler, references, PROMPT, SEEDS)

    difference = float((unified()[0] - straightforward()[0]).abs().max())
    if not difference <= TOLERANCE:
        raise RuntimeError(f"{case}: the two ways differ by {difference:.2g}, so their times say nothing")
    fast, slow = take_turns(unified, straightforward, rounds)
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(fast, slow, strict=True)]
    low, _, high = quartiles(ratios)
    return {
        "references": case.references,
        "guidance": case.guidance,
        "ours_s": median(fast),
        "straightforward_s": median(slow),
        "times_faster": median(ratios),
        "quartiles": [low, high],
        "interval_95": list(median_interval(ratios)),
        "max_difference": difference,
    }


def sample_pair(
    pipeline: AnyIDPipeline, sampler: Sampler, references: Sequence[np.ndarray], prompt: str
) -> tuple[torch.Tensor, np.ndarray]:
    """Both videos as `generator.sample` makes them: latents (2, C, F, h, w) and frames uint8."""
    latents = pipeline(
        references=references,
        prompt=prompt,
        height=sampler.height,
        width=sampler.width,
        num_frames=sampler.num_frames,
        num_inference_steps=sampler.num_inference_steps,
        guidance_scale=sampler.guidance_scale,
        num_videos_per_prompt=len(SEEDS),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
        return_dict=False,
    )[0]
    return latents, pipeline.decode_latents(latents)


def draw_references(name: str) -> list[np.ndarray]:
    """Four clips and stills of one person, (F, H, W, 3) uint8 each."""
    identity, items = draw_identity(PERSON), plan_person(PERSON)
    by_kind = {kind: iter([item for item in items if item.kind is kind]) for kind in ReferenceKind}
    return [next(by_kind[kind]).render(identity) for kind in REFERENCES[name]]


if __name__ == "__main__":
    main()
