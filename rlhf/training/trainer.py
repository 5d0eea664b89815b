"""What all our training loops do alike, on top of transformers' own.

One line of metrics per step, checkpoints of nothing but what is trained, and no checkpoint that was torn by a
kill is ever resumed. Several devices work through `accelerate launch`.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from generator.rundir import COMPLETE, RunDir, RunError
from rlhf.training import processes
from rlhf.training.config import RunConfig
from rlhf.training.draws import Tensors
from rlhf.training.learner import Learner
from rlhf.training.lora import load_trainable, save_trainable
from rlhf.training.moving_average import MovingAverage
from rlhf.training.sigterm import Stop

WEIGHTS = "trained.safetensors"
AVERAGE = "average.safetensors"


class RunTrainer(Trainer):
    """transformers' trainer for models that answer a list of draws.

    Args:
        model: called with a list of `dataset`'s items.
        arguments: see `training_arguments`.
        dataset: every draw of the run, in order.
        folder: checkpoints go here.
        ema_decay: of the moving average, see `rlhf.training.moving_average`.
        on_step: receives one line of metrics per step, in the main process.
        callbacks: further callbacks of transformers.

    Attributes:
        average: the moving average of the trained weights.
        early_end: why training ended before its last step, or None.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: Learner,
        arguments: TrainingArguments,
        dataset: Dataset[Any],
        folder: Path,
        *,
        ema_decay: float,
        on_step: Callable[[dict[str, float]], None],
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        """Set up transformers' trainer, and no other class's between it and this one.

        Raises:
            RunError: accelerate's own FSDP was asked for.
        """
        Trainer.__init__(
            self,
            model=model,
            args=arguments,
            data_collator=lambda draws: {"draws": draws},
            train_dataset=dataset,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled:
            raise RunError(
                "--use_fsdp would shard the adapter, too; launch without it, and set sharded in the config"
            )
        self.policy, self.folder, self.on_step = model, folder, on_step
        self.average = MovingAverage(model, ema_decay)
        self.early_end: str | None = None
        self._met: list[Tensor] = []
        self._step = _Step(self.average)
        self.add_callback(self._step)

    def loss_of(self, model: nn.Module, draws: Sequence[Tensors]) -> Tensor:
        """The loss of a batch, (); `keep` what `step_metrics` needs of it."""
        raise NotImplementedError

    def step_metrics(self, met: Tensor) -> dict[str, float]:
        """Metrics of the step that ended, beside the loss: of (figures, draws) that all processes kept."""
        raise NotImplementedError

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """What transformers asks for; a RunError where it is not finite."""
        loss = self.loss_of(model, inputs["draws"])
        if not torch.isfinite(loss):
            raise RunError(f"the loss is {loss.item()}; lower learning_rate")
        return loss

    def keep(self, rows: Sequence[Tensor]) -> None:
        """Keep figures of a batch, (B,) each, until the end of the step."""
        self._met.append(torch.stack([row.detach().float() for row in rows]))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One line of metrics per step.

        Raises:
            RunError: a figure is not finite.
        """
        if "loss" not in logs:  # transformers' summary
            return
        seconds = round(time.monotonic() - self._step.began, 3)
        met = self.accelerator.gather(torch.cat(self._met, 1).T.contiguous()).T
        self._met.clear()
        logs.update(self.step_metrics(met), seconds=seconds, memory_bytes=peak_memory_bytes())
        Trainer.log(self, logs, start_time)
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        if broken:
            raise RunError(f"{broken[0]} is {logs[broken[0]]} at step {self.state.global_step}")
        if processes.is_main():
            self.on_step({"step": self.state.global_step, "steps": self.state.max_steps, **logs})
        self.early_end = self.reason_to_end(self.state.log_history)
        if self.early_end:
            self.control.should_training_stop = self.control.should_save = True

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["draws"]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Only what is trained: transformers would write the whole model."""
        folder = Path(output_dir or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_trainable(self.policy, folder / WEIGHTS)
        self.average.save(folder / AVERAGE)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Mark a checkpoint complete once every process has written its part."""
        Trainer._save_checkpoint(self, model, trial)
        processes.wait()
        if processes.is_main():
            (self.folder / f"checkpoint-{self.state.global_step}" / COMPLETE).touch()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.restore(Path(resume_from_checkpoint))

    def restore(self, checkpoint: Path) -> None:
        """Take the trained weights and their average out of a checkpoint."""
        load_trainable(self.policy, checkpoint / WEIGHTS)
        self.average.load(checkpoint / AVERAGE)

    def reason_to_end(self, lines: Sequence[Mapping[str, float]]) -> str | None:
        """Why training shall end after these lines of metrics, or None; the last step needs no reason."""
        return None


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


def training_arguments(
    config: RunConfig,
    folder: Path,
    kind: type[TrainingArguments] = TrainingArguments,
    *,
    autocast: bool = False,
    **others: Any,
) -> TrainingArguments:
    """The run's settings in the words of transformers.

    Args:
        config: of the run.
        folder: checkpoints go here.
        kind: class of the arguments.
        autocast: let every product round its float32 factors to bfloat16. Only for weights that are trained
            themselves: beside a LoRA, the frozen weights are bfloat16 (`generator.model.precision`), and
            autocast would round the embedding of time, too.
        **others: what this class knows beside transformers' own.
    """
    arguments = kind(
        output_dir=str(folder),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        data_seed=config.seed,
        bf16=autocast,
        use_cpu=not torch.cuda.is_available(),  # as `training.processes` and `generator.sample.load_model`
        activation_checkpointing=False,  # the transformer does its own
        train_sampling_strategy="sequential",  # the draws are in order already
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        **others,
    )
    # Several GPUs work through `accelerate launch`. Without it, transformers would fall back to DataParallel,
    # which cuts every tensor along its first dimension, whatever that dimension means.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def peak_memory_bytes() -> int:
    """The most that this process has held so far: of its GPU where it has one, else of main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def num_draws(config: RunConfig, arguments: TrainingArguments) -> int:
    """Draws of a whole run, over all devices."""
    return config.steps * config.batch_size * config.accumulation * int(arguments.world_size)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was made."""
    return int(checkpoint.name.rpartition("-")[2])


def train(run: RunDir, trainer: RunTrainer, stop: Stop) -> None:
    """Train to the end, also an early one, from the newest complete checkpoint where there is one.

    Args:
        run: its metrics lose the lines of steps that are done again.
        trainer: with a model in its first state.
        stop: among the trainer's callbacks.

    Raises:
        RunError: training ended early, or a figure is not finite.
        SystemExit: stopped by SIGTERM (status 143).
    """
    checkpoint = _checkpoint_of_all(trainer.folder)
    done = step_of(checkpoint) if checkpoint else 0
    if processes.is_main():
        run.truncate_metrics(lambda line: line["step"] <= done)
    processes.wait()
    steps = trainer.args.max_steps
    trainer.early_end = trainer.reason_to_end(processes.of_main(run.read_metrics()))
    if checkpoint and (done == steps or trainer.early_end):  # killed between the last step and the result
        trainer.restore(checkpoint)
        return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < steps and not trainer.early_end:
        stop.leave_if_requested()
        raise RunError(f"training ended at step {trainer.state.global_step} of {steps}")


def _checkpoint_of_all(folder: Path) -> Path | None:
    """The main process's newest complete checkpoint, which then every machine has."""
    newest = last_checkpoint(folder)
    name = processes.of_main(newest.name if newest else "")
    if not name:
        return None
    checkpoint = folder / name
    processes.hand_out(checkpoint, sorted(path.name for path in checkpoint.glob("*")))
    return checkpoint
