"""Supervised training: rectified flow on the target's tokens, and a moving average of the weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from generator.rundir import RunError
from rlhf.draws import Tensors
from rlhf.moving_average import MovingAverage
from rlhf.objectives import flow_error, flow_velocity, interpolate
from rlhf.policy import equal_shapes, predict
from rlhf.run_trainer import RunTrainer, num_draws, training_arguments
from rlhf.sft_config import SFTConfig
from rlhf.sft_draws import InstanceDraws, Layout
from rlhf.sft_latents import CachedInstance

AVERAGE = "average.safetensors"
#: Parts of the time axis whose losses are told apart: `loss/time_1` is t < 1/4, nearly clean.
TIME_PARTS = 4


class FlowLearner(nn.Module):
    """A transformer that answers a batch of draws with its flow errors.

    Args:
        transformer: as `rlhf.policy.FlowPolicy` takes it.
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
        for places in equal_shapes(draws):
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
        on_step: receives one line of metrics a step.
        callbacks: further callbacks of transformers.

    Attributes:
        average: the moving average of the trained weights.
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
        """Set up transformers' trainer, then the average of the weights where they are now."""
        arguments = training_arguments(config, folder)
        draws = InstanceDraws(instances, config, num_draws(config, arguments), layout=layout)
        super().__init__(learner, arguments, draws, folder, on_step=on_step, callbacks=list(callbacks))
        self.average = MovingAverage(learner, config.ema_decay)
        self._step = _Step(self.average)
        self.add_callback(self._step)
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
        """Seconds of the step, and the mean loss of each part of the time axis that was met."""
        if not self._errors:
            return {}
        errors, times = (
            self.accelerator.gather(torch.cat(parts)).cpu() for parts in (self._errors, self._times)
        )
        self._errors.clear()
        self._times.clear()
        part = (times * TIME_PARTS).long().clamp(max=TIME_PARTS - 1)
        losses = {f"loss/time_{k + 1}": errors[part == k].mean().item() for k in part.unique().tolist()}
        return {"seconds": round(time.monotonic() - self._step.began, 3), **losses}

    def restore(self, checkpoint: Path) -> None:
        """Take weights and average out of a checkpoint."""
        super().restore(checkpoint)
        self.average.load(checkpoint / AVERAGE)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        self.average.save(Path(output_dir or self.folder) / AVERAGE)


class _Step(TrainerCallback):
    """Times each step, and lets the average follow it."""

    def __init__(self, average: MovingAverage) -> None:
        self.average, self.began = average, time.monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.average.follow(state.global_step)
