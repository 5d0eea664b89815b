"""Everything that a DPO run needs of its pairs, encoded once: latents, references, prompt embeddings.

One safetensors file per pair, so that a resumed run, or the next one on the same folder, encodes only what is
missing, and so that the VAE and the text encoder need not stay in memory while the transformer trains. A
file's name is a hash of what it was made of: media, prompt, encoders' weights, versions of libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from generator.faults import NotFiniteError
from generator.media.video import read_clip
from generator.records import SamplerSettings
from generator.sample import read_reference
from rlhf.export.row import ExportRow
from rlhf.training.cache import digest, fill, frozen_sha256, read_tensors
from rlhf.training.draws import Tensors

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


@dataclass(eq=False)
class CachedPairs(Sequence[dict[str, Tensor]]):
    """The tensors of each pair, read from their files when asked for.

    Each item: `clean` (2, C, F, h, w), chosen above rejected; `references` (C, R, h, w); `prompt_embeds` (L,
    D).
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.paths)

    @property
    def keys(self) -> list[str]:
        """Hash of what each pair's tensors were made of."""
        return [path.stem for path in self.paths]

    def where(self, chosen: Sequence[bool]) -> CachedPairs:
        """Those pairs for which the flag is set."""
        return CachedPairs([path for path, keep in zip(self.paths, chosen, strict=True) if keep])

    def __getitem__(self, index: Any) -> Any:
        """One pair's tensors, in float32; raises as `read_tensors`."""
        if isinstance(index, slice):
            return CachedPairs(self.paths[index])
        return read_tensors(self.paths[index])


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
        folder: of the cache; made when missing.
        on_pair: called with the number of pairs that this process has ready.

    Returns:
        The pairs, in the order of the rows.

    Raises:
        ValueError: chosen and rejected differ in size or length.
        CacheError: a pair's tensors are not finite.
    """
    rows = list(rows)
    encoders = encoders_sha256(pipeline)
    paths = [folder / f"{pair_key(row, encoders)}.safetensors" for row in rows]
    jobs = [(path, partial(_encode_named, pipeline, row)) for path, row in zip(paths, rows, strict=True)]
    fill(folder, jobs, on_file=on_pair)
    return CachedPairs(paths)


def _encode_named(pipeline: AnyIDPipeline, row: ExportRow) -> dict[str, Tensor]:
    """`encode_pair`, where numbers that are not finite name the pair."""
    try:
        return encode_pair(pipeline, row)
    except NotFiniteError as error:
        raise NotFiniteError(f"pair {row.pair_id}: {error}") from None


def encoders_sha256(pipeline: AnyIDPipeline) -> str:
    """Sha256 (hex) of all that turns files and text into tensors."""
    # Names with _ say where it was loaded from, which is another place on every machine.
    config = {name: value for name, value in pipeline.vae.config.items() if not name.startswith("_")}
    return digest(
        {
            "vae": [frozen_sha256(pipeline.vae), config],
            "text_encoder": frozen_sha256(pipeline.text_encoder),
            "tokenizer": pipeline.tokenizer.backend_tokenizer.to_str(),
            "layout": [pipeline.config.reference_order, pipeline.config.max_sequence_length],
        }
    )


def pair_key(row: ExportRow, encoders: str) -> str:
    """Hash of everything that a pair's tensors are made of, with `encoders_sha256`."""
    return digest(
        {
            "encoders": encoders,
            "clips": [row.chosen.file.sha256, row.rejected.file.sha256],
            "references": [[item.file.sha256, str(item.kind)] for item in row.references],
            "prompt": row.differential_prompt,
        }
    )


@torch.no_grad()
def empty_condition(pipeline: AnyIDPipeline, pair: Tensors) -> dict[str, Tensor]:
    """The unified empty condition of a pair, as the sampler's guidance uses it.

    Returns:
        `references` (C, R, h, w) of zero pixels, and `prompt_embeds` (L, D) of no text.
    """
    # Not at the top: a run's folder is checked before diffusers is loaded.
    from generator.model.references import empty_reference

    step = pipeline.vae.config.scale_factor_spatial
    height, width = (side * step for side in pair["clean"].shape[-2:])
    count = pair["references"].shape[1] if pipeline.config.empty_references == "same" else 1
    prompt_embeds, _ = pipeline.encode_prompt("", do_classifier_free_guidance=False)
    references = empty_reference(pipeline.vae, height, width, count)
    return {"references": references[0].float().cpu(), "prompt_embeds": prompt_embeds[0].float().cpu()}


@torch.no_grad()
def encode_pair(pipeline: AnyIDPipeline, row: ExportRow) -> dict[str, Tensor]:
    """Encode one pair as it was sampled: references cut and read as the sampler does.

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
