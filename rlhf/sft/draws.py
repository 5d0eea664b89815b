"""How a training instance is shown at each step, as a pure function of seed and place in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from generator.model.order import in_order
from rlhf.sft.config import SFTConfig
from rlhf.sft.latents import CachedInstance
from rlhf.training.cache import read_tensors
from rlhf.training.draws import Draw, draw, noise_and_time


@dataclass(frozen=True)
class Augmentation:
    """What of an instance one step sees."""

    is_empty: bool  # whether all references and the prompt are nulled together
    #: Places of the references that are shown, the primary first, the others in their order.
    shown: tuple[int, ...]
    #: For each shown one the number of its still, or None to show a clip as a clip.
    stills: tuple[int | None, ...]


@dataclass(frozen=True)
class Layout:
    """What a pipeline records about references, see `generator.model.AnyIDPipeline`."""

    #: "one" zero-pixel latent for the empty condition, or "same": as many as are nulled.
    empty_references: str = "one"
    reference_order: str = "primary_first"  # on the temporal axis, "primary_first" or "primary_last"


def augment(one: Draw, is_clip: Sequence[bool], config: SFTConfig) -> Augmentation:
    """Draw how an instance is shown; `is_clip` says it of each reference, the primary first.

    The primary is always shown. In a share `p_drop` of the training samples, 0 to all but one of the
    assistants are, each number as likely as any other, so that the model keeps working from a single
    reference. A clip is shown as a still in a share `p_still`.
    """
    rng = np.random.default_rng([config.seed, 3, one.item, one.number])
    is_empty = rng.random() < config.p_empty
    assistants = np.arange(1, len(is_clip))
    if len(assistants) and rng.random() < config.p_drop:
        assistants = np.sort(rng.choice(assistants, size=rng.integers(len(assistants)), replace=False))
    shown = (0, *map(int, assistants))
    return Augmentation(bool(is_empty), shown, tuple(_still(rng, is_clip[place], config) for place in shown))


def _still(rng: np.random.Generator, is_clip: bool, config: SFTConfig) -> int | None:
    if not is_clip:
        return 0
    return int(rng.integers(config.stills)) if rng.random() < config.p_still else None


@dataclass(eq=False)
class InstanceDraws(Dataset[dict[str, Tensor]]):
    """Every draw of a run, in order; nothing is loaded before it is asked for."""

    instances: Sequence[CachedInstance]
    config: SFTConfig  # `time_shift` is a number
    length: int  # draws in all
    layout: Layout = field(kw_only=True)

    def __len__(self) -> int:
        """Draws in the run."""
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`clean`, `noise` (C, F, h, w), `references` (C, R, h, w), `prompt_embeds` (L, D) and `time` ()."""
        config = self.config
        one = draw(index, num_items=len(self.instances), strata=config.time_strata, seed=config.seed)
        instance = self.instances[one.item]
        clean = _read(instance.target, "clean")
        return {
            "clean": clean,
            **self._conditions(instance, augment(one, instance.is_clip, config)),
            **noise_and_time(one, clean.shape, config),
        }

    def _conditions(self, instance: CachedInstance, seen: Augmentation) -> dict[str, Tensor]:
        """References and prompt, or both empty."""
        prompt = instance.empty_prompt if seen.is_empty else instance.prompt
        if seen.is_empty and self.layout.empty_references == "one":
            references = _read(instance.empty, "stills")
        else:
            shown = [
                _read(instance.references[place], "clip")
                if still is None
                else _read(instance.references[place], "stills")[:, still : still + 1]
                for place, still in zip(seen.shown, seen.stills, strict=True)
            ]
            references = torch.cat(in_order(shown, self.layout.reference_order), dim=1)
            if seen.is_empty:
                references = _read(instance.empty, "stills").repeat(1, references.shape[1], 1, 1)
        return {"references": references, "prompt_embeds": _read(prompt, "prompt_embeds")}


def _read(path: Path, name: str) -> Tensor:
    """One tensor of a file."""
    return read_tensors(path, [name])[name]
