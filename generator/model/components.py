"""What `AnyIDPipeline` is made of: its parts, how they are loaded, and what they encode and decode."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from generator.faults import LatentTrace, check_finite, check_videos
from generator.model import references as visual
from generator.model.adapters.adapter import put_on, read_adapter
from generator.model.order import in_order
from generator.model.pictures import VisualReference, list_references, to_frames
from generator.model.transformer import AnyIDTransformer
from generator.prompt_reading import MAX_TOKENS, PromptReader

#: Arguments of `from_pretrained` that say where files come from; the transformer is loaded with the same.
_HUB_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "revision",
    "token",
    "use_safetensors",
    "variant",
)


class AnyIDComponents(WanPipeline):
    """The parts of the pipeline, what it records with a checkpoint, and the latents of references and videos.

    Args:
        tokenizer: of the text encoder.
        text_encoder: reads the prompt.
        vae: encodes references, decodes the video.
        scheduler: flow-matching sampler.
        transformer: predicts velocities.
        transformer_2: unused; Wan 2.2's layout names it.
        boundary_ratio: unused; as above.
        expand_timesteps: as above; references always have their own timestep.
        max_sequence_length: the most tokens of a prompt; longer ones are refused.
        empty_references: whether the empty condition has `one` zero-pixel latent or as many as the references
            (`same`).
        reference_order: the order of the references on the temporal axis, `primary_first` or `primary_last`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: UMT5EncoderModel,
        vae: AutoencoderKLWan,
        scheduler: UniPCMultistepScheduler,
        transformer: AnyIDTransformer | None = None,
        transformer_2: AnyIDTransformer | None = None,
        boundary_ratio: float | None = None,
        expand_timesteps: bool = True,
        max_sequence_length: int = MAX_TOKENS,
        empty_references: str = "one",
        reference_order: str = "primary_first",
    ) -> None:
        """Register the parts and the recorded settings.

        Raises:
            ValueError: an unknown `empty_references` or `reference_order`.
        """
        if empty_references not in ("one", "same"):
            raise ValueError(f"empty_references is {empty_references!r}; it must be 'one' or 'same'")
        in_order([], reference_order)  # refuses an unknown one
        super().__init__(
            tokenizer,
            text_encoder,
            vae,
            scheduler,
            transformer,
            transformer_2,
            boundary_ratio,
            expand_timesteps,
        )
        self.register_to_config(
            max_sequence_length=max_sequence_length,
            empty_references=empty_references,
            reference_order=reference_order,
        )

    def register_modules(self, **modules: Any) -> None:
        """Register parts, naming the transformer's class as upstream does.

        So plain diffusers can read a saved folder, and a released Wan folder and one of ours load alike.
        """
        super().register_modules(**modules)
        if isinstance(modules.get("transformer"), AnyIDTransformer):
            self.register_to_config(transformer=("diffusers", "WanTransformer3DModel"))

    @classmethod
    def from_pretrained(cls, path: str | Path, **kwargs: Any) -> Self:
        """Load a folder or hub id in the Diffusers layout: the shipped tiny model or a Wan 2.2 one.

        Args:
            path: folder or hub id.
            **kwargs: as upstream, such as `dtype`.

        Returns:
            The pipeline, on the CPU.

        Raises:
            OSError: the folder or a file of it is missing.
        """
        kwargs.setdefault("use_safetensors", True)  # never a pickle
        if "transformer" not in kwargs:
            chosen = {name: kwargs[name] for name in (*_HUB_ARGUMENTS, "dtype") if name in kwargs}
            kwargs["transformer"] = AnyIDTransformer.from_pretrained(path, subfolder="transformer", **chosen)
        pipeline: Self = super().from_pretrained(path, **kwargs)
        return pipeline

    def prompt_reader(self, limit: int | None = None) -> PromptReader:
        """What counts prompts as this pipeline's tokenizer does.

        Args:
            limit: the most tokens; the checkpoint's own `max_sequence_length` when None.
        """
        return PromptReader.of_transformers(self.tokenizer, limit or self.config.max_sequence_length)

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | dict[str, Tensor],
        adapter_name: str | None = None,
        *,
        alpha: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Upstream's; local files also in PEFT's and DiffSynth's form, see `generator.model.adapters`.

        Args:
            pretrained_model_name_or_path_or_dict: folder, safetensors file, hub id or tensors.
            adapter_name: of the adapter in the model.
            alpha: of a local file that does not say its own.
            **kwargs: as upstream.

        Raises:
            ValueError: a local file in no known form, or of another base; the message names the remedy.
        """
        source = pretrained_model_name_or_path_or_dict
        local = None if isinstance(source, dict) else Path(source, kwargs.get("weight_name") or "")
        if local is None or not local.exists() or kwargs.get("hotswap"):
            super().load_lora_weights(source, adapter_name, **kwargs)
        else:
            put_on(self.transformer, read_adapter(local, alpha=alpha), adapter_name, pipeline=self)

    def encode_prompt(
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Upstream's, with the checkpoint's own `max_sequence_length` as the default, and nothing cut.

        Raises:
            UnreadPromptError: a prompt is longer, or has words that the tokenizer does not know.
        """
        kwargs.setdefault("max_sequence_length", self.config.max_sequence_length)
        reader = self.prompt_reader(kwargs["max_sequence_length"])
        for given in (prompt, negative_prompt or ""):
            for text in [given] if isinstance(given, str) else given:
                reader.check(text)
        embeds: tuple[Tensor, Tensor | None] = super().encode_prompt(prompt, negative_prompt, *args, **kwargs)
        return embeds

    @torch.no_grad()
    def encode_references(
        self, references: VisualReference | Iterable[VisualReference], height: int, width: int
    ) -> Tensor:
        """The references of one sample as latents, see `generator.model.references.encode_references`.

        They are given with the primary first, and come in the checkpoint's order.
        """
        self.check_size(height, width)
        parts = visual.encode_each(list_references(references), self.vae, height, width)
        return torch.cat(in_order(parts, self.config.reference_order), dim=2)

    @torch.no_grad()
    def encode_video(self, frames: VisualReference) -> Tensor:
        """A video as the latents that the sampler would end with.

        Args:
            frames: (F, H, W, 3) uint8 or PIL images, F = 4k + 1.

        Returns:
            (1, C, 1 + (F - 1) / 4, h, w).

        Raises:
            ValueError: a size or number of frames that the model does not have, or latents that are not
                finite.
        """
        pixels = to_frames(frames)
        self.check_size(pixels.shape[1], pixels.shape[2], len(pixels))
        latents = visual.encode(visual.fit(pixels, pixels.shape[1], pixels.shape[2]), self.vae)
        check_finite(latents, "the latents of the video")
        return latents

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> np.ndarray:
        """Latents as pictures, the whole batch at once; `vae.enable_slicing()` takes less memory.

        Args:
            latents: (B, C, F, h, w), normalised.

        Returns:
            (B, F, H, W, 3) uint8 RGB.

        Raises:
            BrokenVideoError: latents or pixels are not finite.
        """
        decoded, finite = self._decode(latents)
        faults = LatentTrace(latents).faults(decoded, finite)
        check_videos([None if whole else fault for fault, whole in zip(faults, finite, strict=True)], decoded)
        return decoded

    def _decode(self, latents: Tensor) -> tuple[np.ndarray, list[bool]]:
        """Pictures, and whether all numbers of each video were finite."""
        latents = visual.denormalise(latents.to(self.vae.device, self.vae.dtype), self.vae)
        pixels = self.vae.decode(latents, return_dict=False)[0].float().permute(0, 2, 3, 4, 1)
        finite = pixels.isfinite().flatten(1).all(dim=1).tolist()
        decoded: np.ndarray = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
        return decoded, finite

    def check_size(self, height: int, width: int, num_frames: int = 1) -> None:
        """Refuse sizes that the model does not have.

        Raises:
            ValueError: names the value and the nearest one that fits.
        """
        _, patch_height, patch_width = self.transformer.config.patch_size
        for name, value, patch in (("height", height, patch_height), ("width", width, patch_width)):
            step = self.vae_scale_factor_spatial * patch
            if value < step or value % step:
                nearest = max(step, round(value / step) * step)
                raise ValueError(f"{name} is {value}; it must be a multiple of {step}, such as {nearest}")
        factor = self.vae_scale_factor_temporal
        if num_frames < 1 or num_frames % factor != 1 % factor:
            nearest = max(0, round((num_frames - 1) / factor)) * factor + 1
            raise ValueError(f"num_frames is {num_frames}; it must be {factor}k + 1, such as {nearest}")
