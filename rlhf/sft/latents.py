"""Everything that a supervised run needs of its files, encoded once: one safetensors file for each.

A file that several instances share is encoded once for all of them. So a resumed run encodes only what is
missing, and VAE and text encoder need not stay in memory while the transformer trains.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generator.faults import NotFiniteError
from generator.media.video import read_paced
from generator.records import ReferenceKind, SamplerSettings
from generator.rundir import RunError
from generator.sample import read_reference
from rlhf.training.cache import Encode, fill
from rlhf.training.instances import TrainingInstance

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


@dataclass(frozen=True)
class CachedInstance:
    """The files that hold an instance's tensors, float32."""

    target: Path  # `clean` (C, F, h, w)
    prompt: Path  # `prompt_embeds` (L, D)
    #: Of each, the primary first: `stills` (C, S, h, w), S frames encoded one by one, and for a clip also
    #: `clip` (C, f, h, w). S is 1 for a photo or half-body portrait.
    references: tuple[Path, ...]
    is_clip: tuple[bool, ...]  # of each reference
    empty: Path  # `stills` (C, 1, h, w), the zero-pixel latent of the target's size
    empty_prompt: Path  # `prompt_embeds` (L, D) of the empty prompt


def cache_instances(
    pipeline: AnyIDPipeline,
    instances: Sequence[tuple[TrainingInstance, SamplerSettings]],
    folder: Path,
    *,
    stills: int,
    on_file: Callable[[int], None] = lambda done: None,
) -> list[CachedInstance]:
    """Encode every file that is not in the folder yet, as the sampler would.

    Args:
        pipeline: with VAE, tokenizer and text encoder.
        instances: each with its `target_settings`.
        folder: of the cache; made when missing. It belongs to one dataset and one base model.
        stills: frames of each clip reference that are also encoded as stills, evenly spread.
        on_file: called with the number of files that this process has ready.

    Returns:
        Where each instance's tensors are, in the order of the instances.

    Raises:
        RunError: a file cannot be read, or the model cannot take its size; the message names it.
    """
    jobs: dict[Path, Encode] = {}
    cached = []
    for instance, settings in instances:
        _check_size(pipeline, instance.target, settings)
        plan = _plan(instance, settings, folder, stills)
        cached.append(plan)
        jobs[plan.target] = partial(_encode_target, pipeline, instance.target, settings)
        for path, (source, kind) in zip(plan.references, instance.references, strict=True):
            jobs[path] = partial(encode_reference, pipeline, source, kind, settings, stills)
        jobs[plan.empty] = partial(_encode_empty, pipeline, settings)
        jobs[plan.prompt] = partial(encode_prompt, pipeline, instance.prompt)
        jobs[plan.empty_prompt] = partial(encode_prompt, pipeline, "")
    fill(folder, list(jobs.items()), on_file=on_file)
    return cached


@torch.no_grad()
def encode_reference(
    pipeline: AnyIDPipeline, path: Path, kind: ReferenceKind, settings: SamplerSettings, stills: int
) -> dict[str, Tensor]:
    """Encode a reference in every form in which training shows it, see `CachedInstance.references`.

    A clip is read at the rate of the settings and at most as long; all is resized and padded to their size.

    Raises:
        RunError: not readable.
    """
    try:
        frames = read_reference(path, kind, settings)
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    size = settings.height, settings.width
    with _naming(path):
        return _encode_frames(pipeline, frames, kind, size, stills)


def _encode_frames(
    pipeline: AnyIDPipeline,
    frames: NDArray[np.uint8],
    kind: ReferenceKind,
    size: tuple[int, int],
    stills: int,
) -> dict[str, Tensor]:
    if not kind.is_clip:
        return {"stills": pipeline.encode_references([frames], *size)[0]}
    picks = np.linspace(0, len(frames) - 1, stills).round().astype(int)
    return {
        "stills": pipeline.encode_references([frames[pick : pick + 1] for pick in picks], *size)[0],
        "clip": pipeline.encode_references([frames], *size)[0],
    }


@torch.no_grad()
def encode_prompt(pipeline: AnyIDPipeline, prompt: str) -> dict[str, Tensor]:
    """Embed a prompt as the sampler does: `prompt_embeds` (L, D)."""
    embeds, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
    return {"prompt_embeds": embeds[0]}


def _encode_target(pipeline: AnyIDPipeline, path: Path, settings: SamplerSettings) -> Mapping[str, Tensor]:
    frames = read_paced(path, settings.fps, max_frames=settings.num_frames)
    with _naming(path):
        return {"clean": pipeline.encode_video(frames)[0]}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Inside, numbers that are not finite name the file that they are made of."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(f"{path}: {error}") from None


def _encode_empty(pipeline: AnyIDPipeline, settings: SamplerSettings) -> Mapping[str, Tensor]:
    # Not at the top: a run's folder is checked before diffusers is loaded.
    from generator.model.references import empty_reference

    return {"stills": empty_reference(pipeline.vae, settings.height, settings.width)[0]}


def _check_size(pipeline: AnyIDPipeline, target: Path, settings: SamplerSettings) -> None:
    try:
        pipeline.check_size(settings.height, settings.width, settings.num_frames)
    except ValueError as error:
        raise RunError(f"{target} does not fit the model: {error}") from None


def _plan(instance: TrainingInstance, settings: SamplerSettings, folder: Path, stills: int) -> CachedInstance:
    """Name the files: equal content and equal settings, equal name."""
    # Only what changes latents; relative, so that a storage folder may move as a whole.
    shape = replace(settings, num_inference_steps=1, guidance_scale=1.0).digest

    def named(*parts: object) -> Path:
        text = "\n".join(map(str, parts))
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def place(path: Path) -> str:
        return os.path.relpath(path, folder)

    return CachedInstance(
        target=named("target", place(instance.target), shape),
        prompt=named("prompt", instance.prompt),
        references=tuple(
            named("reference", place(path), kind, stills, shape) for path, kind in instance.references
        ),
        is_clip=tuple(kind.is_clip for _, kind in instance.references),
        empty=named("empty", settings.height, settings.width),
        empty_prompt=named("prompt", ""),
    )
