"""Supervised training: rectified flow on the target's tokens, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from generator.rundir import RunError
from rlhf.dpo.policy import passes, predict
from rlhf.objectives import flow_error, flow_velocity, interpolate
from rlhf.sft.config import SFTConfig
from rlhf.sft.draws import InstanceDraws, Layout
from rlhf.sft.latents import CachedInstance
from rlhf.training.draws import Tensors
from rlhf.training.trainer import RunTrainer, num_draws, training_arguments

#: Parts of the time axis whose losses are told apart: `loss/time_1` is t < 1/4, nearly clean.
TIME_PARTS = 4


class FlowLearner(nn.Module):
    """A transformer that answers a batch of draws with its flow errors.

    Args:
        transformer: as `rlhf.dpo.policy.FlowPolicy` takes it.
    """

    # What transformers.Trainer asks of any model.
    accepts_loss_kwargs = False

    def __init__(self, transformer: nn.Module) -> None:
        """Wrap the transformer."""
        super().__init__()
        self.transformer = transformer
        self.config = SimpleNamespace(model_type="anyid", use_cache=False, to_dict=dict)

    def forward(self, draws: Sequence[Tensors]) -> Tensor:
        """Flow errors of the draws: the target's alone, since nothing else is predicted.

        Draws with equal shapes (mostly: equally many reference latents) share a forward pass.

        Args:
            draws: B items of `InstanceDraws`.

        Returns:
            (B,), float32; their mean is `rlhf.objectives.sft_loss` of the batch.
        """
        errors = draws[0]["clean"].new_empty(len(draws), dtype=torch.float32)
        for places in passes(draws, self.transformer):
            group = {name: torch.stack([draws[place][name] for place in places]) for name in draws[0]}
            noisy = interpolate(group["clean"], group["noise"], group["time"])
            prediction = predict(
                self.transformer, noisy, group["time"], group["prompt_embeds"], group["references"]
            )
            error = flow_error(prediction, flow_velocity(group["clean"], group["noise"]))
            errors = errors.index_copy(0, torch.tensor(places, device=errors.device), error)
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
        callbacks: Sequence[TrainerCallback] = (),
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
            callbacks=list(callbacks),
        )
        self._errors: list[Tensor] = []
        self._times: list[Tensor] = []

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Mean flow error of the draws.

        Raises:
            RunError: the loss is not finite.
        """
        draws = inputs["draws"]
        errors: Tensor = model(draws)
        loss = errors.mean()
        if not torch.isfinite(loss):
            raise RunError(f"the loss is {loss.item()}; lower learning_rate")
        self._errors.append(errors.detach())
        self._times.append(torch.stack([one["time"] for one in draws]))
        return loss

    def step_metrics(self) -> dict[str, float]:
        """The mean loss of each part of the time axis that was met."""
        errors, times = (
            self.accelerator.gather(torch.cat(parts)).cpu() for parts in (self._errors, self._times)
        )
        self._errors.clear()
        self._times.clear()
        part = (times * TIME_PARTS).long().clamp(max=TIME_PARTS - 1)
        return {f"loss/time_{k + 1}": errors[part == k].mean().item() for k in part.unique().tolist()}
