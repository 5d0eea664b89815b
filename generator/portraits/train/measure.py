"""Measure a model on people it never saw, by the oracle, and draw what it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from generator.model.pipeline import AnyIDPipeline
from generator.portraits.oracle import Oracle, Reading, identity_similarity
from generator.portraits.people import FRONT_CLIPS, NUM_FRAMES, SIZE, plan_person
from generator.portraits.render import render_clip
from generator.portraits.train.batches import differential_prompt
from generator.portraits.world import ELEMENT_STATES, SPLIT_SEEDS, draw_identity
from generator.records import ELEMENTS, ReferenceKind

Array = np.ndarray
#: People whom neither training, nor the demo, nor the oracle's figures use.
FIRST_HELD_OUT = SPLIT_SEEDS["benchmark"] + 9_000_000
HELD_OUT = 20
#: Of a sheet, pixels: between its columns, and of the line above the pictures.
_GAP, _CAPTION = 16, 18
#: Draws of the bootstrap, which draws whole people: clips of one person are not independent.
_RESAMPLES = 4000


@dataclass(frozen=True)
class Trial:
    """One question to the model."""

    person: int  # index of the held-out person
    references: list[Array]  # frames of each, the primary first
    prompt: str  # what changes
    before: dict[str, str]  # state of each element in the primary
    after: dict[str, str]  # state wanted of each element
    seed: int  # of the videos made, and of the picture that shows the right answer

    def draw_answer(self) -> Array:
        """The person with the elements wanted, by the renderer: (F, H, W, 3) uint8."""
        identity = draw_identity(FIRST_HELD_OUT + self.person)
        return render_clip(identity, self.after, num_frames=NUM_FRAMES, size=SIZE, seed=self.seed)

    def with_references(self, count: int) -> Trial:
        """The same question with the first references only."""
        return Trial(self.person, self.references[:count], self.prompt, self.before, self.after, self.seed)


def draw_trials(per_person: int, num_references: int, seed: int = 0) -> list[Trial]:
    """Questions about the held-out people: a clip from the front as primary, one to three changes.

    Of the 1 to 5 references the primary is one.
    """
    trials = []
    for person in range(HELD_OUT):
        rng = np.random.default_rng([seed, person])
        identity, items = draw_identity(FIRST_HELD_OUT + person), plan_person(FIRST_HELD_OUT + person)
        for number in range(per_person):
            primary = int(rng.integers(FRONT_CLIPS))
            others = rng.permutation([index for index in range(len(items)) if index != primary])
            shown = [items[primary], *(items[index] for index in others[: num_references - 1])]
            before = dict(items[primary].elements)
            after = dict(before)
            for element in rng.choice(ELEMENTS, size=int(rng.integers(1, 4)), replace=False):
                after[str(element)] = str(
                    rng.choice([s for s in ELEMENT_STATES[element] if s != before[element]])
                )
            prompt = differential_prompt(_indices(before), _indices(after), rng)
            references = [item.render(identity) for item in shown]
            trials.append(Trial(person, references, prompt, before, after, 1000 * person + number))
    return trials


@torch.no_grad()
def sample_trials(
    pipeline: AnyIDPipeline,
    trials: Sequence[Trial],
    *,
    videos: int = 1,
    steps: int = 20,
    guidance_scale: float = 5.0,
) -> list[Array]:
    """The model's answers, (videos, F, H, W, 3) uint8 for each trial; seeds follow from the trials'."""
    answers = []
    for trial in trials:
        latents = pipeline(
            references=trial.references,
            prompt=trial.prompt,
            height=SIZE,
            width=SIZE,
            num_frames=NUM_FRAMES,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            num_videos_per_prompt=videos,
            generator=[torch.Generator().manual_seed(videos * trial.seed + k) for k in range(videos)],
            output_type="latent",
            return_dict=False,
        )[0]
        answers.append(pipeline.decode_latents(latents))
    return answers


def score(trials: Sequence[Trial], answers: Sequence[Array], oracle: Oracle) -> dict[str, Any]:
    """What the oracle says of the answers.

    Args:
        trials: the questions.
        answers: (videos, F, H, W, 3) uint8 for each.
        oracle: the reader.

    Returns:
        `identity_top1` among the held-out people, `identity_similarity`, accuracy of the elements that were
        to change (`changed`) and to stay (`unchanged`), each as [mean, low, high] with a 95 % bootstrap
        interval over people; accuracies by element; and how many videos there were.
    """
    gallery = [_gallery(person, oracle) for person in range(HELD_OUT)]
    values: dict[str, list[tuple[int, float]]] = {}
    for trial, videos in zip(trials, answers, strict=True):
        for video in videos:
            seen = oracle.read(video)
            likeness = [identity_similarity(seen, references) for references in gallery]
            values.setdefault("identity_top1", []).append(
                (trial.person, float(int(np.argmax(likeness)) == trial.person))
            )
            values.setdefault("identity_similarity", []).append((trial.person, likeness[trial.person]))
            for name, is_right in _judge_elements(trial, seen):
                values.setdefault(name, []).append((trial.person, is_right))
                values.setdefault(name.partition("/")[0], []).append((trial.person, is_right))
    figures: dict[str, Any] = {"videos": len(values["identity_top1"])}
    for name in ("identity_top1", "identity_similarity", "changed", "unchanged"):
        figures[name] = bootstrap(values[name])
    elements = {name: values[name] for name in sorted(values) if "/" in name}
    figures["by_element"] = {
        name: [round(float(np.mean([v for _, v in rows])), 3), len(rows)] for name, rows in elements.items()
    }
    return figures


def bootstrap(values: Sequence[tuple[int, float]]) -> list[float]:
    """[mean, low, high] of (person, value) pairs: a 95 % percentile interval, for which people are drawn."""
    people = sorted({person for person, _ in values})
    sums = np.array([sum(v for p, v in values if p == person) for person in people])
    counts = np.array([sum(p == person for p, _ in values) for person in people])
    drawn = np.random.default_rng(0).integers(len(people), size=(_RESAMPLES, len(people)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return [round(float(value), 4) for value in (sums.sum() / counts.sum(), low, high)]


def draw_sheet(trials: Sequence[Trial], answers: Sequence[Array], path: Path, columns: int = 2) -> None:
    """A picture: for each trial what was asked, its first four references, and five frames of the answer."""
    cells = [_draw_cell(trial, videos[0]) for trial, videos in zip(trials, answers, strict=True)]
    width, height = cells[0].size
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * height), "white")
    for index, cell in enumerate(cells):
        sheet.paste(cell, (index % columns * (width + _GAP), index // columns * height))
    sheet.save(path)


def _draw_cell(trial: Trial, video: Array) -> Image.Image:
    """The prompt above the pictures; the primary reference is the first."""
    shown = [reference[len(reference) // 2] for reference in trial.references[:4]]
    shown += [np.full((SIZE, SIZE, 3), 255, np.uint8)] * (4 - len(shown))
    gap = np.full((SIZE, 4, 3), 255, np.uint8)
    strip = Image.fromarray(np.concatenate([*shown, gap, *video[:: max(1, (len(video) - 1) // 4)]], axis=1))
    cell = Image.new("RGB", (strip.width, strip.height + _CAPTION), "white")
    font = ImageFont.load_default(11)
    ImageDraw.Draw(cell).text((0, _CAPTION - 3), trial.prompt, fill="black", font=font, anchor="ls")
    cell.paste(strip, (0, _CAPTION))
    return cell


def _judge_elements(trial: Trial, seen: Reading) -> Iterator[tuple[str, float]]:
    for element, state in trial.after.items():
        kind = "changed" if state != trial.before[element] else "unchanged"
        read = max(seen.elements[element], key=seen.elements[element].__getitem__)
        yield f"{kind}/{element}", float(read == state)


def _gallery(person: int, oracle: Oracle) -> list[Reading]:
    identity = draw_identity(FIRST_HELD_OUT + person)
    kinds = (ReferenceKind.CLIP, ReferenceKind.PHOTO)
    return [
        oracle.read(item.render(identity))
        for item in plan_person(FIRST_HELD_OUT + person)
        if item.kind in kinds
    ]


def _indices(elements: dict[str, str]) -> list[int]:
    return [ELEMENT_STATES[element].index(elements[element]) for element in ELEMENTS]
