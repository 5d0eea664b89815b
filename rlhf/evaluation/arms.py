"""The videos of an arm: sampled here, or found in a folder that somebody else filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.records import SampleRequest
from generator.rundir import RunDir
from generator.sample import load_model, make_videos
from generator.video import probe
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.request import Arm, EvaluationRequest

#: Told of every finished video: the arm, the video's name, and the seconds that it took.
OnVideo = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Wanted:
    """One video that an arm should have.

    Attributes:
        arm: whose.
        instance: what is asked for.
        seed: of the noise.
        path: of the file; None where there is none that can be used.
        why: there is none; "" where there is one.
    """

    arm: Arm
    instance: EvaluationInstance
    seed: int
    path: Path | None
    why: str = ""

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return video_name(self.instance, self.seed)


def video_name(instance: EvaluationInstance, seed: int) -> str:
    """Of a video's file, without its ending."""
    return f"{instance.instance_id}-{seed}"


def videos_of(run: RunDir, request: EvaluationRequest, arm: Arm, note: OnVideo) -> list[Wanted]:
    """Every video that an arm should have, sampled first where the arm has a model.

    Raises:
        ValueError: the model cannot be loaded.
    """
    if arm.model is None:
        return _entered(run.resolve(str(arm.videos)), request, arm)
    return _sampled(run, request, arm, arm.model, note)


def sample_requests(
    arm: Arm, instances: Sequence[EvaluationInstance], seeds: Sequence[int]
) -> list[SampleRequest]:
    """What a model makes: every instance with every seed, the seeds of an instance as neighbours."""
    return [
        SampleRequest(
            video_name(instance, seed), seed, _prompt(arm, instance), instance.references[: arm.references]
        )
        for instance in instances
        for seed in seeds
    ]


def _prompt(arm: Arm, instance: EvaluationInstance) -> str:
    return (arm.prompts == "standard" and instance.standard_prompt) or instance.prompt


def _sampled(
    run: RunDir, request: EvaluationRequest, arm: Arm, model: Mapping[str, Any], note: OnVideo
) -> list[Wanted]:
    assert request.settings is not None, "read_request asks for settings where there is a model"
    folder = run.path / arm.name
    _, failed = make_videos(
        lambda: load_model(run, model),
        sample_requests(arm, request.instances, request.seeds),
        request.settings,
        folder,
        resolve=run.resolve,
        on_sample=lambda facts, seconds: note(arm.name, facts["sample_id"], seconds),
    )
    errors = {item["sample_id"]: item["error"] for item in failed}
    wanted = []
    for instance in request.instances:
        for seed in request.seeds:
            name = video_name(instance, seed)
            why = f"was not made: {errors[name]}" if name in errors else ""
            wanted.append(Wanted(arm, instance, seed, None if why else folder / f"{name}.mp4", why))
    return wanted


def _entered(folder: Path, request: EvaluationRequest, arm: Arm) -> list[Wanted]:
    """Videos of another model: each as long as most of them are, or it is a hole."""
    looked = [
        (instance, seed, *_look(folder, _names(instance, seed, request.seeds)))
        for instance in request.instances
        for seed in request.seeds
    ]
    lengths = Counter(length for *_, length in looked if length)
    usual = lengths.most_common(1)[0][0] if lengths else 0
    wanted = []
    for instance, seed, path, why, length in looked:
        if path is None or length == usual:
            wanted.append(Wanted(arm, instance, seed, path, why))
        else:
            why = f"{path.name} has {length} frames where this arm's videos have {usual}"
            wanted.append(Wanted(arm, instance, seed, None, why))
    return wanted


def _names(instance: EvaluationInstance, seed: int, seeds: Sequence[int]) -> list[str]:
    names = [f"{video_name(instance, seed)}.mp4"]
    return [*names, f"{instance.instance_id}.mp4"] if len(seeds) == 1 else names


def _look(folder: Path, names: Sequence[str]) -> tuple[Path | None, str, int]:
    """The first of the files that is there, or why none can be used, and its number of frames."""
    there = [folder / name for name in names if (folder / name).is_file()]
    if not there:
        return None, f"there is no {' or '.join(names)} in {folder.name}", 0
    try:
        return there[0], "", probe(there[0]).num_frames
    except (ValueError, OSError) as error:
        return None, f"{there[0].name} cannot be read: {' '.join(str(error).split())}", 0
