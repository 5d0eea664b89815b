"""Everything that a DPO run needs of its pairs, encoded once: latents, references, prompt embeddings.

One safetensors file a pair in the run folder, so that a resumed run encodes only what is missing, and so that
the VAE and the text encoder need not stay in memory while the transformer trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from generator.records import SamplerSettings
from generator.sample import read_reference
from generator.video import read_clip
from rlhf.cache import fill
from rlhf.export_row import ExportRow

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


class CachedPairs(Sequence[dict[str, Tensor]]):
    """The tensors of each pair, read from their files when asked for.

    Each item: `clean` (2, C, F, h, w), chosen above rejected; `references` (C, R, h, w); `prompt_embeds` (L,
    D).
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Remember the files; nothing is read."""
        self.paths = list(paths)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """One pair's tensors, in float32."""
        if isinstance(index, slice):
            return CachedPairs(self.paths[index])
        return load_file(self.paths[index])


def cache_pairs(
    pipeline: AnyIDPipeline,
    rows: Iterable[ExportRow],
    folder: Path,
    *,
    on_pair: Callable[[int], None] = lambda done: None,
) -> CachedPairs:
    """Encode every pair that is not in the folder yet.

    Args:
        pipeline: with VAE, tokenizer and text encoder.
        rows: the exported pairs.
        folder: of the cache; made when missing. It belongs to one export and one base model.
        on_pair: called with the number of pairs that this process has ready.

    Returns:
        The pairs, in the order of the rows.

    Raises:
        ValueError: chosen and rejected differ in size or length.
    """
    rows = list(rows)
    paths = [folder / f"pair-{row.pair_id}.safetensors" for row in rows]
    jobs = [(path, partial(encode_pair, pipeline, row)) for path, row in zip(paths, rows, strict=True)]
    fill(folder, jobs, on_file=on_pair)
    return CachedPairs(paths)


@torch.no_grad()
def encode_pair(pipeline: AnyIDPipeline, row: ExportRow) -> dict[str, Tensor]:
    """Encode one pair as it was sampled: references cut and read as the sampler does.

    Args:
        pipeline: with VAE, tokenizer and text encoder.
        row: the pair.

    Returns:
        `clean` (2, C, F, h, w), `references` (C, R, h, w) and `prompt_embeds` (L, D).

    Raises:
        ValueError: chosen and rejected differ in size or length.
    """
    chosen, rejected = (read_clip(sample.file.path) for sample in (row.chosen, row.rejected))
    if chosen.frames.shape != rejected.frames.shape:
        shapes = f"{chosen.frames.shape} and {rejected.frames.shape}"
        raise ValueError(
            f"pair {row.pair_id} has clips of (frames, height, width, 3) {shapes}; they must be equal"
        )
    num_frames, height, width, _ = chosen.frames.shape
    settings = SamplerSettings(height=height, width=width, num_frames=num_frames, fps=round(chosen.fps))
    references = [read_reference(item.file.path, item.kind, settings) for item in row.references]
    prompt_embeds, _ = pipeline.encode_prompt(row.differential_prompt, do_classifier_free_guidance=False)
    return {
        "clean": torch.cat([pipeline.encode_video(clip.frames) for clip in (chosen, rejected)]),
        "references": pipeline.encode_references(references, height, width)[0],
        "prompt_embeds": prompt_embeds[0],
    }
