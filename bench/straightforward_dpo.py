"""Flow-DPO as one would first write it on Diffusers' own classes, from the equations and peft's manual.

Nothing of ours but the weights and the way a picture is fitted to a size:

- a second copy of the model answers for the frozen policy, at every step;
- chosen and rejected pass through each model one after the other;
- `WanTransformer3DModel` with references and noisy target in one tensor and a timestep for every token;
- files are read, and the VAE and the text encoder encode them, at every step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import WanPipeline
from peft import LoraConfig
from torch import Tensor, nn

from bench.straightforward import load
from generator.media.video import read_clip
from generator.model.order import in_order
from generator.model.references import fit, normalise
from generator.records import ReferenceKind
from rlhf.dpo.config import FlowDPOConfig
from rlhf.export.row import ExportRow


@dataclass(frozen=True)
class Layout:
    """What the checkpoint records: the side and the order of references, and a prompt's length."""

    position: str
    order: str
    prompt_tokens: int


class StraightforwardDPO:
    """The trainer.

    Args:
        checkpoint: folder in the Diffusers layout.
        config: of the run; of it only beta, the LoRA's and the optimizer's settings are read.
        layout: see `Layout`.
        everywhere: let autograd follow everything, as PyTorch does unless told otherwise: encoders and the
            second copy, too. Otherwise those run without gradients, and what is not the LoRA is frozen.
    """

    def __init__(self, checkpoint: Path, config: FlowDPOConfig, layout: Layout, *, everywhere: bool) -> None:
        self.pipeline: WanPipeline = load(checkpoint)
        self.policy, self.frozen = self.pipeline.transformer, load(checkpoint).transformer
        self.config, self.layout = config, layout
        torch.manual_seed(config.seed)
        self.policy.add_adapter(
            LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=list(config.targets))
        )
        self.trained = [value for name, value in self.policy.named_parameters() if "lora_" in name]
        for model in (self.policy, self.frozen, self.pipeline.vae, self.pipeline.text_encoder):
            model.requires_grad_(everywhere)
        for value in self.trained:
            value.requires_grad_(True)
        self.without_gradient = contextlib.nullcontext if everywhere else torch.no_grad
        self.optimizer = torch.optim.AdamW(self.trained, lr=config.learning_rate, weight_decay=0.0)

    def step(self, rows: Sequence[ExportRow], noise: Tensor, time: Tensor) -> float:
        """One optimizer step; gives the loss.

        Args:
            rows: B pairs.
            noise: (B, C, F, h, w), of chosen and rejected alike.
            time: (B,).
        """
        with self.without_gradient():
            chosen = torch.cat([self._encode(read_clip(row.chosen.file.path).frames) for row in rows])
            rejected = torch.cat([self._encode(read_clip(row.rejected.file.path).frames) for row in rows])
            references = torch.cat([self._references(row) for row in rows])
            prompts = [row.differential_prompt for row in rows]
            embeds, _ = self.pipeline.encode_prompt(
                prompts, do_classifier_free_guidance=False, max_sequence_length=self.layout.prompt_tokens
            )
            ref_chosen = self._error(self.frozen, chosen, noise, time, references, embeds)
            ref_rejected = self._error(self.frozen, rejected, noise, time, references, embeds)
        error_chosen = self._error(self.policy, chosen, noise, time, references, embeds)
        error_rejected = self._error(self.policy, rejected, noise, time, references, embeds)
        margin = (error_rejected - ref_rejected) - (error_chosen - ref_chosen)
        loss = -F.logsigmoid(self.config.beta * margin).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.config.max_grad_norm)
        self.optimizer.step()
        for model in (self.policy, self.frozen, self.pipeline.vae, self.pipeline.text_encoder):
            model.zero_grad()
        return loss.item()

    def _references(self, row: ExportRow) -> Tensor:
        shown = [
            read_clip(item.file.path, max_frames=None if item.kind is ReferenceKind.CLIP else 1).frames
            for item in row.references
        ]
        return torch.cat([self._encode(frames) for frames in in_order(shown, self.layout.order)], dim=2)

    def _encode(self, frames: np.ndarray) -> Tensor:
        """Normalised latents of a clip or still, (1, C, f, h, w)."""
        pixels = fit(frames, *frames.shape[1:3])
        return normalise(self.pipeline.vae.encode(pixels).latent_dist.mode(), self.pipeline.vae)

    def _error(
        self,
        model: nn.Module,
        clean: Tensor,
        noise: Tensor,
        time: Tensor,
        references: Tensor,
        embeds: Tensor,
    ) -> Tensor:
        """Flow errors (B,) of one branch under one model, with a timestep for every token."""
        t = time.view(-1, 1, 1, 1, 1)
        noisy = (1 - t) * clean + t * noise
        patch = model.config.patch_size
        grid = (clean.shape[3] // patch[1]) * (clean.shape[4] // patch[2])
        times = (1000 * time)[:, None].expand(-1, clean.shape[2] * grid)
        zeros = torch.zeros(len(time), references.shape[2] * grid)
        before = self.layout.position == "before"
        sequence = torch.cat([references, noisy] if before else [noisy, references], dim=2)
        per_token = torch.cat([zeros, times] if before else [times, zeros], dim=1)
        prediction = model(sequence, per_token, embeds, return_dict=False)[0]
        first = references.shape[2] if before else 0
        error = prediction[:, :, first : first + clean.shape[2]] - (noise - clean)
        return error.square().flatten(1).mean(1)
