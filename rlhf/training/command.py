"""What the commands of SFT and Flow-DPO do alike, from loading the model to saving what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from torch import nn

from generator.model.precision import Precision
from generator.records import SamplerSettings
from generator.rundir import RunDir, RunError
from generator.sample import load_model
from rlhf.training import processes
from rlhf.training.config import SampledConfig
from rlhf.training.instances import TrainingInstance
from rlhf.training.lora import add_adapter
from rlhf.training.precision import Config, set_up, settle, to_bfloat16
from rlhf.training.samples import Samples, sampling_pipeline
from rlhf.training.sharding import expect_processes
from rlhf.training.sigterm import Stop
from rlhf.training.trainer import RunTrainer, train

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


#: Rows that a refusal of prompts names; it counts them all.
_NAMED = 3


def load(run: RunDir, model: Mapping[str, Any], config: Config) -> tuple[AnyIDPipeline, Config, Precision]:
    """The model, and the settings with all that they left to device and model.

    Raises:
        RunError: another number of processes is asked for, or machines have other requests.
        ValueError: the run began in other numbers than are asked for now.
    """
    expect_processes(config)
    processes.expect_alike("request.json", run.read_request())
    config, precision = settle(run, config)
    pipeline = load_model(run, model, transformer_device="cpu" if config.sharded else None)
    shift = config.time_shift or float(pipeline.scheduler.config.flow_shift)
    return pipeline, replace(config, time_shift=shift), precision


def expect_read(pipeline: AnyIDPipeline, rows: Sequence[tuple[str, str]], remedy: str) -> None:
    """Refuse prompts, by name, that the model does not read whole: what they ask for would not be learned."""
    reader = pipeline.prompt_reader()
    unread = [f"{name}: {problem}" for name, prompt in rows if (problem := reader.read(prompt).problem)]
    if not unread:
        return
    more = f"; and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
    which = "1 prompt" if len(unread) == 1 else f"{len(unread)} prompts"
    raise RunError(f"{which} would not be read whole: {'; '.join(unread[:_NAMED])}{more}; {remedy}")


def adapt(transformer: nn.Module, config: SampledConfig) -> LoraConfig:
    """Freeze a transformer and give it a new adapter to train; its configuration is saved with it."""
    if config.bf16:
        to_bfloat16(transformer)
    lora = add_adapter(
        transformer, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed
    )
    set_up(transformer, config)
    return lora


def train_and_sample(
    run: RunDir,
    trainer: RunTrainer,
    stop: Stop,
    config: SampledConfig,
    model: Mapping[str, Any],
    shown: Sequence[tuple[TrainingInstance, SamplerSettings]],
) -> None:
    """Train to the end, see `train`, with clips of some instances at intervals, see `Samples`."""
    transformer = trainer.policy.transformer
    samples = Samples(
        run.path / "samples",
        shown,
        config,
        lambda: sampling_pipeline(run, model, transformer),
        trainer.average,
    )
    trainer.add_callback(samples)
    train(run, trainer, stop)
    if not trainer.early_end:
        samples.take(config.steps)


def mean_at_end(lines: Sequence[Mapping[str, float]], name: str) -> float:
    """Of the last tenth of the steps."""
    last = lines[-max(1, len(lines) // 10) :]
    return sum(line[name] for line in last) / len(last)
