"""Clips of a few inputs at intervals, so that people see what a run is learning."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from generator.model_files import model_folder
from generator.records import SampleRequest, SamplerSettings, ShownReference
from generator.rundir import RunDir, RunError
from generator.sample import make_videos, precision_of
from rlhf.training import processes
from rlhf.training.config import SampledConfig
from rlhf.training.instances import TrainingInstance
from rlhf.training.moving_average import MovingAverage

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Samples(TrainerCallback):
    """Makes `<folder>/step-<n>/<instance_id>.mp4` with averaged weights, always from the same noise.

    Before the first step, every `sample_every` steps, and at the end. Clips come after the checkpoint of
    their step, so that a run that is killed meanwhile makes the missing ones and trains nothing twice.
    """

    folder: Path  # of the samples
    #: Each with its `target_settings`; the first `sample_count` are shown.
    instances: Sequence[tuple[TrainingInstance, SamplerSettings]]
    config: SampledConfig
    #: Gives the pipeline around the transformer that is trained; VAE and text encoder stay in memory only
    #: while clips are made.
    load: Callable[[], AnyIDPipeline]
    average: MovingAverage  # of the trained weights

    def is_due(self, step: int) -> bool:
        """Whether clips are wanted after so many steps."""
        every = self.config.sample_every
        return every > 0 and (step % every == 0 or step == self.config.steps)

    def take(self, step: int) -> None:
        """Make the clips of a step that are due and not there yet, each process its share.

        Raises:
            RunError: a reference cannot be read any more.
        """
        if not self.is_due(step):
            return
        load = functools.cache(self.load)  # once for all clips, and not at all when none is missing
        folder = self.folder / f"step-{step}"
        jobs = processes.turns(self._missing(folder), in_step=self.config.sharded)
        with self.average.in_place(), TemporaryDirectory() as nowhere:
            for number, counts in jobs:
                self._make(number, folder if counts else Path(nowhere), load)
        processes.wait()
        processes.bring_together(folder, "*.mp4")

    def _missing(self, folder: Path) -> list[int]:
        """Places of the instances without a clip, as the main process sees them."""
        shown = self.instances[: self.config.sample_count]
        there = [(folder / f"{instance.instance_id}.mp4").exists() for instance, _ in shown]
        missing: list[int] = processes.all_of_us([[n for n, done in enumerate(there) if not done]])[0]
        return missing

    def _make(self, number: int, folder: Path, load: Callable[[], AnyIDPipeline]) -> None:
        instance, settings = self.instances[number]
        seed = self.config.seed + number
        references = tuple(ShownReference(str(path), kind) for path, kind in instance.references)
        _, failed = make_videos(
            load,
            [SampleRequest(instance.instance_id, seed, instance.prompt, references)],
            replace(
                settings,
                num_inference_steps=self.config.sample_steps,
                guidance_scale=self.config.guidance_scale,
            ),
            folder,
        )
        if failed and "step" in failed[0]:
            # The model is at fault, not the data; a run must not end over clips of what it learns.
            logger.warning("no sample of instance %s: %s", instance.instance_id, failed[0]["error"])
        elif failed:
            raise RunError(f"no sample of instance {instance.instance_id}: {failed[0]['error']}")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Before the first step; when resumed, what the killed run did not come to."""
        self.take(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for the checkpoint that comes before the clips."""
        if self.is_due(state.global_step):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """After the checkpoint; a run that was asked to end leaves its clips to the next start."""
        if not control.should_training_stop:
            self.take(state.global_step)


def sampling_pipeline(run: RunDir, model: Mapping[str, Any], transformer: torch.nn.Module) -> AnyIDPipeline:
    """The pipeline of a base model around a transformer that is being trained.

    Args:
        run: its folder is where relative paths start.
        model: `base`; its adapters are in the transformer already.
        transformer: stays where and as it is.
    """
    from generator.model import AnyIDPipeline

    base = run.resolve(model["base"])
    pipeline = AnyIDPipeline.from_pretrained(
        model_folder(base if base.exists() else model["base"]),
        transformer=transformer,
        dtype=precision_of(model).dtype,
    )
    pipeline.to(next(transformer.parameters()).device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
