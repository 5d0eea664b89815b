"""Measure a checkpoint on people it never saw, by the oracle, and draw what it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from generator.model.pipeline import AnyIDPipeline
from generator.portraits.oracle import Oracle, identity_similarity
from generator.portraits.people import FRONT_CLIPS, NUM_FRAMES, SIZE, Item, plan_person
from generator.portraits.train.transformer import differential_prompt
from generator.portraits.world import ELEMENT_STATES, SPLIT_SEEDS, draw_identity
from generator.records import ELEMENTS, ReferenceKind

Array = np.ndarray
#: People whom neither training, nor the demo, nor the oracle's figures use.
FIRST_HELD_OUT = SPLIT_SEEDS["benchmark"] + 9_000_000
HELD_OUT = 20


@dataclass(frozen=True)
class Trial:
    """One question to the model.

    Attributes:
        person: index of the held-out person.
        references: frames of each, the primary first.
        prompt: what changes.
        before: state of each element in the primary.
        after: state wanted of each element.
    """

    person: int
    references: list[Array]
    prompt: str
    before: dict[str, str]
    after: dict[str, str]


def draw_trials(per_person: int, num_references: int, seed: int = 0) -> list[Trial]:
    """Questions about the held-out people: a clip from the front as primary, one to three changes.

    Args:
        per_person: questions a person.
        num_references: 1 to 5, primary included.
        seed: of the draws.
    """
    return list(_draw_trials(per_person, num_references, seed))


def _draw_trials(per_person: int, num_references: int, seed: int) -> Iterator[Trial]:
    for person in range(HELD_OUT):
        rng = np.random.default_rng([seed, person])
        identity, items = draw_identity(FIRST_HELD_OUT + person), plan_person(FIRST_HELD_OUT + person)
        for _ in range(per_person):
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
            yield Trial(person, [item.render(identity) for item in shown], prompt, before, after)


@torch.no_grad()
def sample_trials(
    pipeline: AnyIDPipeline, trials: Sequence[Trial], *, steps: int = 20, guidance_scale: float = 5.0
) -> list[Array]:
    """The model's answers, (F, H, W, 3) uint8 each; trial k has seed k."""
    clips = []
    for seed, trial in enumerate(trials):
        latents = pipeline(
            references=trial.references,
            prompt=trial.prompt,
            height=SIZE,
            width=SIZE,
            num_frames=NUM_FRAMES,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed)],
            output_type="latent",
            return_dict=False,
        )[0]
        clips.append(pipeline.decode_latents(latents)[0])
    return clips


def score(trials: Sequence[Trial], clips: Sequence[Array], oracle: Oracle) -> dict[str, Any]:
    """What the oracle says.

    Returns:
        Identity top-1 among the held-out people, mean similarity, accuracy of changed and of unchanged
        elements (all, and by element), and how many of each there were.
    """
    gallery = [_gallery(person, oracle) for person in range(HELD_OUT)]
    hits, similarities = [], []
    right: dict[str, list[bool]] = {f"{kind}/{e}": [] for kind in ("changed", "unchanged") for e in ELEMENTS}
    for trial, clip in zip(trials, clips, strict=True):
        seen = oracle.read(clip)
        likeness = [identity_similarity(seen, references) for references in gallery]
        hits.append(int(np.argmax(likeness)) == trial.person)
        similarities.append(likeness[trial.person])
        for element, state in trial.after.items():
            kind = "changed" if state != trial.before[element] else "unchanged"
            read = max(seen.elements[element], key=seen.elements[element].__getitem__)
            right[f"{kind}/{element}"].append(read == state)
    figures: dict[str, Any] = {
        "trials": len(hits),
        "identity_top1_of_20": round(float(np.mean(hits)), 4),
        "identity_similarity": round(float(np.mean(similarities)), 4),
    }
    for kind in ("changed", "unchanged"):
        pooled = [value for e in ELEMENTS for value in right[f"{kind}/{e}"]]
        figures[f"{kind}_accuracy"] = round(float(np.mean(pooled)), 4)
        figures[f"{kind}_count"] = len(pooled)
    figures["by_element"] = {name: round(float(np.mean(v)), 3) for name, v in right.items() if v}
    return figures


def draw_sheet(trials: Sequence[Trial], clips: Sequence[Array], path: Path) -> None:
    """A picture: for each trial its first four references, then five frames of the answer."""
    rows = []
    for trial, clip in zip(trials, clips, strict=True):
        shown = [reference[len(reference) // 2] for reference in trial.references[:4]]
        shown += [np.full((SIZE, SIZE, 3), 255, np.uint8)] * (4 - len(shown))
        gap = np.full((SIZE, 8, 3), 255, np.uint8)
        rows.append(np.concatenate([*shown, gap, *clip[:: max(1, (len(clip) - 1) // 4)]], axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(path)


def _gallery(person: int, oracle: Oracle) -> list[Any]:
    identity = draw_identity(FIRST_HELD_OUT + person)
    items: Sequence[Item] = plan_person(FIRST_HELD_OUT + person)
    kinds = (ReferenceKind.CLIP, ReferenceKind.PHOTO)
    return [oracle.read(item.render(identity)) for item in items if item.kind in kinds]


def _indices(elements: dict[str, str]) -> list[int]:
    return [ELEMENT_STATES[element].index(elements[element]) for element in ELEMENTS]
