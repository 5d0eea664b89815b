"""Flow-DPO on an exported set: `python -m rlhf.dpo RUNDIR [--attached]`.

    request.json    {"stage": "dpo", "model": {"base", "adapters"}, "export": folder, "config": FlowDPOConfig}
    metrics.jsonl   one line a step
    cache/          latents, references and prompts of each pair, encoded once
    checkpoints/    adapter and optimizer; a run that was killed goes on from the newest complete one
    adapter/        pytorch_lora_weights.safetensors, as Diffusers reads it
    result.json     adapter hash and closing figures

SIGTERM ends the run after the step under way, with a checkpoint; starting the command again resumes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from peft import LoraConfig
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from generator.rundir import RunDir, RunError, run_command
from generator.sample import load_model
from rlhf.dpo_config import FlowDPOConfig
from rlhf.dpo_trainer import WEIGHTS, FlowDPOTrainer, last_checkpoint
from rlhf.export import Export, ExportError, read_export
from rlhf.latents import CachedPairs, cache_pairs
from rlhf.lora import add_adapter, diffusers_layers, load_trainable, metadata, sort_header
from rlhf.policy import FlowPolicy

ADAPTER_FILE = "pytorch_lora_weights.safetensors"
#: Status of a process that was asked to end, as shells write it: 128 + SIGTERM.
STOPPED = 143


def main(run: RunDir, attached: bool) -> None:
    """Train, or go on training, what the run folder asks for.

    Raises:
        RunError: the request cannot be fulfilled; the message names the value.
        SystemExit: stopped by SIGTERM (status 143).
    """
    with run.open(attached=attached) as request, Stop.on_sigterm() as stop:
        if run.is_done:
            return
        try:
            config = FlowDPOConfig.from_json(request.get("config", {}))
            folder, model = run.resolve(request["export"]), request["model"]
        except KeyError as missing:
            raise RunError(f"{run.path / 'request.json'} has no {missing}") from None
        export = _open_export(folder)
        pipeline = load_model(run, model)
        pairs = cache_pairs(
            pipeline, export.rows(), run.path / "cache", on_pair=lambda done: stop.leave_if_requested()
        )
        transformer, save = pipeline.transformer, type(pipeline).save_lora_weights
        del pipeline  # VAE and text encoder have done their work
        lora = add_adapter(
            transformer, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed
        )
        if config.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        _train(run, config, transformer, pairs, stop)
        _save_adapter(run.path / "adapter", transformer, lora, save)
        run.write_result(_result(run, config, len(pairs)))


class Stop(TrainerCallback):
    """Remembers a SIGTERM, and lets the step under way end with a checkpoint."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.is_requested = False

    @classmethod
    @contextlib.contextmanager
    def on_sigterm(cls) -> Iterator[Stop]:
        """Take over SIGTERM inside the block."""
        stop = cls()

        def remember(number: int, frame: FrameType | None) -> None:
            stop.is_requested = True

        previous = signal.signal(signal.SIGTERM, remember)
        try:
            yield stop
        finally:
            signal.signal(signal.SIGTERM, previous)

    def leave_if_requested(self) -> None:
        """End the process if it was asked to end."""
        if self.is_requested:
            print("stopped by SIGTERM; the same command resumes this run", file=sys.stderr)
            raise SystemExit(STOPPED)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save and stop after this step."""
        if self.is_requested:
            control.should_save = control.should_training_stop = True


def _open_export(folder: Path) -> Export:
    """Verify the export before anything costly begins."""
    try:
        export = read_export(folder)
    except ExportError as error:
        raise RunError(str(error)) from None
    if not export.manifest.num_pairs:
        raise RunError(f"{folder} holds no pair; collect more votes")
    return export


def _train(
    run: RunDir, config: FlowDPOConfig, transformer: torch.nn.Module, pairs: CachedPairs, stop: Stop
) -> None:
    folder = run.path / "checkpoints"
    checkpoint = last_checkpoint(folder)
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    run.truncate_metrics(lambda line: line["step"] <= done)
    policy = FlowPolicy(transformer, guard_mu=config.guard_mu if config.guard == "sdpo" else None)
    trainer = FlowDPOTrainer(policy, config, pairs, folder, on_step=run.append_metrics, callbacks=[stop])
    if checkpoint and done == config.steps:  # killed between the last step and the result
        load_trainable(policy, checkpoint / WEIGHTS)
        return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < config.steps:
        stop.leave_if_requested()
        raise RunError(f"training ended at step {trainer.state.global_step} of {config.steps}")


def _save_adapter(folder: Path, transformer: torch.nn.Module, lora: LoraConfig, save: Any) -> None:
    """Write the adapter under its final name only when it is whole."""
    partial = folder.with_name(f".{folder.name}.partial")
    save(
        partial,
        transformer_lora_layers=diffusers_layers(transformer),
        transformer_lora_adapter_metadata=metadata(lora),
    )
    sort_header(partial / ADAPTER_FILE)
    folder.mkdir(exist_ok=True)
    os.replace(partial / ADAPTER_FILE, folder / ADAPTER_FILE)
    partial.rmdir()


def _result(run: RunDir, config: FlowDPOConfig, num_pairs: int) -> dict[str, Any]:
    """Closing figures; the last loss and the accuracy are means over the last tenth of the steps."""
    lines = run.read_metrics()
    last = lines[-max(1, len(lines) // 10) :]
    return {
        "adapter": "adapter",
        "adapter_sha256": hashlib.sha256((run.path / "adapter" / ADAPTER_FILE).read_bytes()).hexdigest(),
        "first_loss": lines[0]["loss"],
        "last_loss": sum(line["loss"] for line in last) / len(last),
        "accuracy": sum(line["rewards/accuracies"] for line in last) / len(last),
        "steps": config.steps,
        "num_pairs": num_pairs,
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
