"""Supervised training: rectified flow on the target's tokens, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from rlhf.objectives import flow_error, flow_velocity, interpolate
from rlhf.sft.config import SFTConfig
from rlhf.sft.draws import InstanceDraws, Layout
from rlhf.sft.latents import CachedInstance
from rlhf.training.draws import Tensors
from rlhf.training.learner import Learner
from rlhf.training.trainer import RunTrainer, num_draws, training_arguments

#: Parts of the time axis whose losses are told apart: `loss/time_1` is t < 1/4, nearly clean.
TIME_PARTS = 4


class FlowLearner(Learner):
    """A transformer that answers a batch of draws with its flow errors."""

    def forward(self, draws: Sequence[Tensors]) -> Tensor:
        """Flow errors of B draws, (B,) in float32: the target's alone, since nothing else is predicted.

        Their mean is `rlhf.objectives.sft_loss` of the batch. Draws with equal shapes (mostly: equally many
        reference latents) share a forward pass.
        """
        errors = draws[0]["clean"].new_empty(len(draws), dtype=torch.float32)
        for index, group in self.groups(draws):
            noisy = interpolate(group["clean"], group["noise"], group["time"])
            prediction = self.predict(noisy, group["time"], group["prompt_embeds"], group["references"])
            error = flow_error(prediction, flow_velocity(group["clean"], group["noise"]))
            errors = errors.index_copy(0, index, error)
        return errors


class SFTTrainer(RunTrainer):
    """Supervised training of what requires a gradient in a learner.

    Args:
        learner: the model.
        config: of the run; `time_shift` is a number.
        instances: the cached files.
        folder: checkpoints go here.
        layout: how the pipeline lays references out.
        on_step: receives one line of metrics per step.
        callbacks: further callbacks of transformers.
    """

    def __init__(
        self,
        learner: FlowLearner,
        config: SFTConfig,
        instances: Sequence[CachedInstance],
        folder: Path,
        *,
        layout: Layout,
        on_step: Callable[[dict[str, float]], None],
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        """Set up transformers' trainer."""
        arguments = training_arguments(config, folder, autocast=bool(config.bf16) and config.mode == "full")
        draws = InstanceDraws(instances, config, num_draws(config, arguments), layout=layout)
        super().__init__(
            learner,
            arguments,
            draws,
            folder,
            ema_decay=config.ema_decay,
            on_step=on_step,
            callbacks=callbacks,
        )

    def loss_of(self, model: nn.Module, draws: Sequence[Tensors]) -> Tensor:
        """Mean flow error of the draws."""
        errors: Tensor = model(draws)
        self.keep([errors, torch.stack([one["time"] for one in draws])])
        return errors.mean()

    def step_metrics(self, met: Tensor) -> dict[str, float]:
        """The mean loss of each part of the time axis that was met."""
        errors, times = met.cpu()
        part = (times * TIME_PARTS).long().clamp(max=TIME_PARTS - 1)
        return {f"loss/time_{k + 1}": errors[part == k].mean().item() for k in part.unique().tolist()}
