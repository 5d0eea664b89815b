"""`AnyIDPipeline`: references and a differential prompt in, a video out.

A `WanPipeline` with references. Guidance nulls all conditions at once (the unified empty condition): two
passes a step, whatever the number of references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline
from diffusers.pipelines.wan.pipeline_output import WanPipelineOutput
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from generator.faults import LatentTrace, check_finite, check_videos
from generator.model import references as visual
from generator.model.adapters import put_on, read_adapter
from generator.model.order import in_order
from generator.model.pictures import VisualReference, list_references, read_references, to_frames
from generator.model.transformer import AnyIDTransformer
from generator.prompts.reading import MAX_TOKENS, PromptReader

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]

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


def guide(empty: Tensor, full: Tensor, guidance_scale: float) -> Tensor:
    """Guidance by the unified empty condition (AnyID, design 1).

    Args:
        empty: velocity with zero-pixel references and the empty prompt.
        full: velocity with references and prompt; the same shape.
        guidance_scale: g; 1 gives `full`, larger follows the conditions more.

    Returns:
        `(1 - g) * empty + g * full`.
    """
    return (1 - guidance_scale) * empty + guidance_scale * full


class AnyIDPipeline(WanPipeline):
    """Makes videos of one person from references and a prompt that says what changes.

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
    def from_pretrained(cls, path: str | Path, **kwargs: Any) -> AnyIDPipeline:
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
        pipeline: AnyIDPipeline = super().from_pretrained(path, **kwargs)
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
        place = pretrained_model_name_or_path_or_dict
        local = None if isinstance(place, dict) else Path(place, kwargs.get("weight_name") or "")
        if local is None or not local.exists() or kwargs.get("hotswap"):
            super().load_lora_weights(place, adapter_name, **kwargs)
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

    @torch.no_grad()
    def __call__(
        self,
        references: VisualReference | Iterable[VisualReference] | None = None,
        prompt: str | list[str] | None = None,
        height: int = 704,
        width: int = 1280,
        num_frames: int = 121,
        num_inference_steps: int = 50,
        guidance_scale: float = 5.0,
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        reference_latents: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepCallback | None = None,
        fps: float | None = None,
    ) -> WanPipelineOutput | tuple[Any]:
        """Make videos that share their references.

        Args:
            references: one or more, the first is the primary: PIL images, paths of photos and clips, arrays,
                tensors, lists of frames; see `generator.model.pictures.to_frames`.
            prompt: what changes from the primary reference; one, or one for each video. It has to be given;
                "" says that nothing changes.
            height: pixels.
            width: pixels.
            num_frames: 4k + 1.
            num_inference_steps: denoising steps.
            guidance_scale: g; at least 1, and 1 needs only one pass a step.
            num_videos_per_prompt: videos of each prompt.
            generator: source of noise; a list gives each video its own, so that it does not depend on
                the others of its batch.
            latents: start from this noise instead, (B, C, F, h, w).
            reference_latents: encoded references (1, C, R, h, w), instead of `references`.
            output_type: `np`, `pt`, `pil`, `uint8` for an array (B, F, H, W, 3), or `latent` for normalised
                latents.
            return_dict: whether to wrap the result.
            attention_kwargs: as upstream.
            callback_on_step_end: called as `(pipeline, step, timestep, {"latents": ...})` after each step; it
                returns a dict whose `latents`, if any, replace those. Setting `pipeline._interrupt` ends
                the sampling.
            fps: frame rate of the video, at which clips are read from their files; None takes their own.

        Returns:
            The videos.

        Raises:
            ValueError: names the value and the remedy.
            BrokenVideoError: a video is not finite or of one colour throughout; it names the step at which
                that began, and holds the others.
        """
        self.check_size(height, width, num_frames)
        if guidance_scale < 1:
            raise ValueError(f"guidance_scale is {guidance_scale}; it must be at least 1")
        prompts = _prompts(prompt)
        batch_size = len(prompts) * num_videos_per_prompt
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(
                f"{len(generator)} generators were given for {batch_size} videos; give one for each"
            )
        self._guidance_scale, self._attention_kwargs = guidance_scale, attention_kwargs
        self._current_timestep, self._interrupt = None, False

        if reference_latents is None:
            shown = read_references(list_references(references), fps=fps, max_frames=num_frames)
            reference_latents = self.encode_references(shown, height, width)
        full, empty = self._conditions(reference_latents, prompts, num_videos_per_prompt, height, width)
        channels = self.transformer.config.in_channels
        latents = self.prepare_latents(
            batch_size,
            channels,
            height,
            width,
            num_frames,
            torch.float32,
            self._execution_device,
            generator,
            latents,
        )
        latents, trace = self._denoise(latents, full, empty, num_inference_steps, callback_on_step_end)

        video: Any = latents
        if output_type == "latent":
            faults = trace.not_finite()
        else:
            video, finite = self._decode(latents)
            faults = trace.faults(video, finite)
        self.maybe_free_model_hooks()
        check_videos(faults, video)
        if output_type not in ("latent", "uint8"):
            decoded = torch.from_numpy(video).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
            video = self.video_processor.postprocess_video(decoded, output_type=output_type)
        return WanPipelineOutput(frames=video) if return_dict else (video,)

    def _conditions(
        self,
        reference_latents: Tensor,
        prompts: list[str],
        copies: int,
        height: int,
        width: int,
    ) -> tuple[_Condition, _Condition | None]:
        """Encode references and prompts once, and the empty condition where guidance needs it."""
        device, dtype = self._execution_device, self.transformer.dtype
        batch_size = len(prompts) * copies
        guided = self._guidance_scale > 1
        # Videos that share a prompt share its one row.
        rows = copies if len(prompts) > 1 else 1
        embeds, empty_embeds = self.encode_prompt(
            prompts, "", do_classifier_free_guidance=guided, num_videos_per_prompt=rows, device=device
        )
        if len(reference_latents) != 1:
            raise ValueError(
                f"reference_latents hold {len(reference_latents)} samples; the videos of a call share one"
            )
        check_finite(reference_latents, "the latents of the references")
        check_finite(embeds, "the embeddings of the prompt")

        def batched(one: Tensor) -> Tensor:
            return one.to(device, dtype).expand(batch_size, -1, -1, -1, -1)

        full = _Condition("cond", embeds.to(dtype), batched(reference_latents))
        if not guided or empty_embeds is None:
            return full, None
        count = reference_latents.shape[2] if self.config.empty_references == "same" else 1
        nothing = visual.empty_reference(self.vae, height, width, count)
        return full, _Condition("uncond", empty_embeds[:1].to(dtype), batched(nothing))

    def _denoise(
        self,
        latents: Tensor,
        full: _Condition,
        empty: _Condition | None,
        num_inference_steps: int,
        callback: StepCallback | None,
    ) -> tuple[Tensor, LatentTrace]:
        """Walk from noise (t = 1) to clean (t = 0) on the target's latents alone, and note what they were."""
        trace = LatentTrace(latents)
        self.scheduler.set_timesteps(num_inference_steps, device=latents.device)
        self.scheduler.set_begin_index(0)
        timesteps = self.scheduler.timesteps
        self._num_timesteps = len(timesteps)
        with self.progress_bar(total=len(timesteps)) as progress:
            for step, timestep in enumerate(timesteps):
                if self.interrupt:
                    break
                self._current_timestep = timestep
                velocity = self._predict(latents, timestep, full, step)
                if empty is not None:
                    velocity = guide(
                        self._predict(latents, timestep, empty, step), velocity, self._guidance_scale
                    )
                latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
                if callback is not None:
                    latents = callback(self, step, timestep, {"latents": latents}).get("latents", latents)
                trace.add(latents)
                progress.update()
        self._current_timestep = None
        return latents, trace

    def _predict(self, latents: Tensor, timestep: Tensor, condition: _Condition, step: int) -> Tensor:
        """The velocity of every video under one condition, float32."""
        context = {
            "step_index": step,
            "sigma": float(self.scheduler.sigmas[step]),
            "num_inference_steps": self._num_timesteps,
        }
        with self.transformer.cache_context(condition.name, **context):
            velocity: Tensor = self.transformer(
                latents.to(self.transformer.dtype),
                timestep[None],
                condition.prompt_embeds,
                condition.reference_latents,
                attention_kwargs=self._attention_kwargs,
                return_dict=False,
            )[0]
        return velocity.float()


def _prompts(prompt: str | list[str] | None) -> list[str]:
    """The prompts of a call.

    Raises:
        ValueError: there is none, or one is no text.
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt or [])
    if not prompts:
        raise ValueError(
            'no prompt was given; say what changes from the primary reference, or "" for nothing'
        )
    if strange := [one for one in prompts if not isinstance(one, str)]:
        raise ValueError(f"a prompt is {strange[0]!r}; it must be text")
    return prompts


class _Condition:
    """What a prediction is conditioned on.

    Attributes:
        name: of the cache context.
        prompt_embeds: (B or 1, L, D).
        reference_latents: (B, C, R, h, w).
    """

    def __init__(self, name: str, prompt_embeds: Tensor, reference_latents: Tensor) -> None:
        self.name, self.prompt_embeds, self.reference_latents = name, prompt_embeds, reference_latents
