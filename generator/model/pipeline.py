"""`AnyIDPipeline`: references and a differential prompt in, a video out.

A `WanPipeline` with references. Guidance nulls all conditions at once (the unified empty condition): two
passes per step, whatever the number of references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.pipelines.wan.pipeline_output import WanPipelineOutput
from torch import Tensor

from generator.faults import LatentTrace, check_finite, check_videos
from generator.model import references as visual
from generator.model.components import AnyIDComponents
from generator.model.pictures import VisualReference, list_references, read_references

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Condition:
    """What a prediction is conditioned on."""

    name: str  # of the cache context
    prompt_embeds: Tensor  # (B or 1, L, D)
    reference_latents: Tensor  # (B, C, R, h, w)


def guide(empty: Tensor, full: Tensor, guidance_scale: float) -> Tensor:
    """Guidance by the unified empty condition: `(1 - g) * empty + g * full` (AnyID, design 1).

    Args:
        empty: velocity with zero-pixel references and the empty prompt.
        full: velocity with references and prompt; the same shape.
        guidance_scale: g; 1 gives `full`, larger follows the conditions more.
    """
    return (1 - guidance_scale) * empty + guidance_scale * full


class AnyIDPipeline(AnyIDComponents):
    """Makes videos of one person from references and a prompt that says what changes.

    A call takes:
        references: one or more, the first is the primary: PIL images, paths of photos and clips, arrays,
            tensors, lists of frames; see `generator.model.pictures.to_frames`.
        prompt: what changes from the primary reference; one, or one for each video. It has to be given; ""
            says that nothing changes.
        height, width: pixels.
        num_frames: 4k + 1.
        num_inference_steps: denoising steps.
        guidance_scale: g; at least 1, and 1 needs only one pass per step.
        num_videos_per_prompt: videos of each prompt.
        generator: source of noise; a list gives each video its own, so that it does not depend on the others
            of its batch.
        latents: start from this noise instead, (B, C, F, h, w).
        reference_latents: encoded references (1, C, R, h, w), instead of `references`.
        output_type: `np`, `pt`, `pil`, `uint8` for an array (B, F, H, W, 3), or `latent` for normalised
            latents.
        return_dict: whether to wrap the result.
        attention_kwargs: as upstream.
        callback_on_step_end: called as `(pipeline, step, timestep, {"latents": ...})` after each step; it
            returns a dict whose `latents`, if any, replace those. Setting `pipeline._interrupt` ends the
            sampling.
        fps: frame rate of the video, at which clips are read from their files; None takes their own.
    """

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
        """Make videos that share their references; the class says what the arguments are.

        Raises:
            ValueError: names the value and the remedy.
            BrokenVideoError: a video is not finite or of one colour throughout; it names the step at which
                that began, and holds the others.
        """
        self.check_size(height, width, num_frames)
        prompts = _prompts(prompt)
        batch_size = len(prompts) * num_videos_per_prompt
        _check_call(guidance_scale, generator, batch_size)
        self._guidance_scale, self._attention_kwargs = guidance_scale, attention_kwargs
        self._current_timestep, self._interrupt = None, False

        if reference_latents is None:
            shown = read_references(list_references(references), fps=fps, max_frames=num_frames)
            reference_latents = self.encode_references(shown, height, width)
        full, empty = self._conditions(reference_latents, prompts, num_videos_per_prompt, height, width)
        channels, device = self.transformer.config.in_channels, self._execution_device
        noise = self.prepare_latents(
            batch_size, channels, height, width, num_frames, torch.float32, device, generator, latents
        )
        clean, trace = self._denoise(noise, full, empty, num_inference_steps, callback_on_step_end)
        video = self._finish(clean, trace, output_type)
        return WanPipelineOutput(frames=video) if return_dict else (video,)

    def _conditions(
        self,
        reference_latents: Tensor,
        prompts: list[str],
        copies: int,
        height: int,
        width: int,
    ) -> tuple[Condition, Condition | None]:
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

        def batched(latents: Tensor) -> Tensor:
            return latents.to(device, dtype).expand(batch_size, -1, -1, -1, -1)

        full = Condition("cond", embeds.to(dtype), batched(reference_latents))
        if not guided or empty_embeds is None:
            return full, None
        count = reference_latents.shape[2] if self.config.empty_references == "same" else 1
        nothing = visual.empty_reference(self.vae, height, width, count)
        return full, Condition("uncond", empty_embeds[:1].to(dtype), batched(nothing))

    def _denoise(
        self,
        latents: Tensor,
        full: Condition,
        empty: Condition | None,
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

    def _predict(self, latents: Tensor, timestep: Tensor, condition: Condition, step: int) -> Tensor:
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

    def _finish(self, latents: Tensor, trace: LatentTrace, output_type: str) -> Any:
        """The videos of clean latents in the form asked for, refused where one is broken."""
        video: Any = latents
        if output_type == "latent":
            faults = trace.not_finite()
        else:
            video, finite = self._decode(latents)
            faults = trace.faults(video, finite)
        self.maybe_free_model_hooks()
        check_videos(faults, video)
        if output_type in ("latent", "uint8"):
            return video
        decoded = torch.from_numpy(video).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        return self.video_processor.postprocess_video(decoded, output_type=output_type)


def _prompts(prompt: str | list[str] | None) -> list[str]:
    """The prompts of a call, refused where there is none or one is no text."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt or [])
    if not prompts:
        raise ValueError(
            'no prompt was given; say what changes from the primary reference, or "" for nothing'
        )
    if strange := [given for given in prompts if not isinstance(given, str)]:
        raise ValueError(f"a prompt is {strange[0]!r}; it must be text")
    return prompts


def _check_call(guidance_scale: float, generator: Any, batch_size: int) -> None:
    if guidance_scale < 1:
        raise ValueError(f"guidance_scale is {guidance_scale}; it must be at least 1")
    if isinstance(generator, list) and len(generator) != batch_size:
        raise ValueError(f"{len(generator)} generators were given for {batch_size} videos; give one for each")
