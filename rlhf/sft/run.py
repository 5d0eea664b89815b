"""Supervised fine-tuning: `python -m rlhf.sft RUNDIR [--attached]`.

    request.json    {"stage": "sft", "model": {"base", "adapters"}, "dataset": path, "config": SFTConfig,
                    "cache": folder}; runs on one dataset and base may name one cache, and each has its own
                    without
    metrics.jsonl   one line a step
    cache/          latents and prompt embeddings, encoded once
    checkpoints/    weights, their average and optimizer; a run that was killed goes on from the newest one
    samples/        step-<n>/<instance_id>.mp4, at intervals
    adapter/        pytorch_lora_weights.safetensors, as Diffusers reads it (mode "lora")
    transformer/    in the Diffusers layout (mode "full")
    result.json     hash and closing figures, and the frame rate to which all targets were brought

The dataset is described in `rlhf.training.instances`. SIGTERM ends the run after the step under way, with a
checkpoint; starting the command again resumes it. For several devices:
`accelerate launch -m rlhf.sft RUNDIR`; with `sharded`, they share the frozen weights.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from generator.files import file_sha256
from generator.records import SamplerSettings
from generator.rundir import RunDir, RunError
from rlhf.sft.config import SFTConfig
from rlhf.sft.draws import Layout
from rlhf.sft.latents import cache_instances
from rlhf.sft.trainer import FlowLearner, SFTTrainer
from rlhf.training import processes
from rlhf.training.command import adapt, expect_read, load, mean_at_end, train_and_sample
from rlhf.training.instances import (
    TrainingInstance,
    common_rate,
    dataset_file,
    measure_target,
    read_dataset,
    target_settings,
)
from rlhf.training.lora import save_adapter
from rlhf.training.precision import set_up
from rlhf.training.sharding import shard
from rlhf.training.sigterm import Stop

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

#: The file of a saved transformer, as Diffusers names it.
TRANSFORMER_FILE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Task:
    """A request that was checked."""

    config: SFTConfig  # of the run
    model: Mapping[str, Any]  # `base` and `adapters`
    dataset: Path  # the file of JSON lines
    instances: list[tuple[TrainingInstance, SamplerSettings]]  # each with the size and length of its target
    fps: int  # at which all of them are learned


def main(run: RunDir, attached: bool) -> None:
    """Train, or go on training, what the run folder asks for.

    Raises:
        RunError: the request cannot be fulfilled; the message names the value.
        SystemExit: stopped by SIGTERM (status 143).
    """
    with processes.hold(run, attached=attached) as request, Stop.on_sigterm() as stop:
        if processes.of_main(run.is_done):
            return
        task = check(run, request)
        pipeline, config, precision = load(run, task.model, task.config)
        rows = [(f"instance {item.instance_id}", item.prompt) for item, _ in task.instances]
        expect_read(pipeline, rows, f"shorten them in {task.dataset}, or leave these lines out")
        cached = cache_instances(
            pipeline,
            task.instances,
            run.resolve(request.get("cache", "cache")),
            stills=config.stills,
            on_file=lambda done: stop.leave_if_requested(),
        )
        layout = Layout(pipeline.config.empty_references, pipeline.config.reference_order)
        transformer, save = make_trainable(pipeline, config)
        del pipeline  # VAE and text encoder have done their work, until there are clips to make
        learner = FlowLearner(transformer)
        if config.sharded:
            shard(learner)
        trainer = SFTTrainer(
            learner,
            config,
            cached,
            run.path / "checkpoints",
            layout=layout,
            on_step=run.append_metrics,
            callbacks=[stop],
        )
        train_and_sample(run, trainer, stop, config, task.model, task.instances)
        if processes.is_main():
            with trainer.average.in_place():
                trained = save(run)
            run.write_result({**trained, **_figures(run, task), "precision": precision.to_json()})


def check(run: RunDir, request: Mapping[str, Any]) -> Task:
    """Read a request and everything that it names, before anything costly begins.

    Raises:
        RunError: something is missing.
        ValueError: the config or the dataset is wrong.
    """
    try:
        config = SFTConfig.from_json(request.get("config", {}))
        place, model = run.resolve(request["dataset"]), request["model"]
    except KeyError as missing:
        raise RunError(f"{run.path / 'request.json'} has no {missing}") from None
    instances = read_dataset(place)
    facts = {target: measure_target(target) for target in {item.target: None for item in instances}}
    fps = common_rate(facts, config.fps)
    settings = {target: target_settings(target, facts[target], fps) for target in facts}
    planned = [(item, settings[item.target]) for item in instances]
    return Task(config, model, dataset_file(place), planned, fps)


def make_trainable(
    pipeline: AnyIDPipeline, config: SFTConfig
) -> tuple[torch.nn.Module, Callable[[RunDir], dict[str, str]]]:
    """The transformer, requiring gradients where it is trained, and what saves that into a run folder."""
    transformer, save_lora = pipeline.transformer, type(pipeline).save_lora_weights
    if config.mode == "lora":
        lora = adapt(transformer, config)
        return transformer, lambda run: save_adapter(run.path / "adapter", transformer, lora, save_lora)
    if pipeline.get_list_adapters():
        pipeline.fuse_lora(components=["transformer"])
        pipeline.unload_lora_weights()
    transformer.float().requires_grad_(True)
    set_up(transformer, config)
    return transformer, lambda run: _save_transformer(run.path, transformer)


def _save_transformer(folder: Path, transformer: Any) -> dict[str, str]:
    """Write `transformer/` under its final name only when it is whole, all weights in one file."""
    target, partial = folder / "transformer", folder / ".transformer.partial"
    transformer.register_to_config(_name_or_path="")  # where it came from is no business of its readers
    transformer.save_pretrained(partial, max_shard_size="1TB")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    return {"transformer": "transformer", "transformer_sha256": file_sha256(target / TRANSFORMER_FILE)}


def _figures(run: RunDir, task: Task) -> dict[str, Any]:
    """Closing figures."""
    lines = run.read_metrics()
    return {
        "first_loss": lines[0]["loss"],
        "last_loss": mean_at_end(lines, "loss"),
        "steps": task.config.steps,
        "num_instances": len(task.instances),
        "fps": task.fps,
        "dataset_sha256": file_sha256(task.dataset),
    }
