"""The videos of a system: sampled here, or found in a folder that somebody else filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from generator.records import SampleRequest
from generator.rundir import RunDir
from generator.sample import load_model, make_videos
from rlhf.evaluation.benchmark.entry import ENTRY_FILE, find_videos, read_facts
from rlhf.evaluation.benchmark.set import check_same
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.request import EvaluationRequest, System, sample_id

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

#: Gives the model that a request names, in its folder.
Load = Callable[[RunDir, Mapping[str, Any]], "AnyIDPipeline"]
#: Told of every finished video: the system, the video's name, and the seconds that it took.
OnVideo = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Wanted:
    """One video that a system should have."""

    system: System  # whose
    instance: EvaluationInstance  # what is asked for
    seed: int  # of the noise
    path: Path | None  # of the file; None where there is none that can be used
    why: str = ""  # there is none; "" where there is one

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return sample_id(self.instance.instance_id, self.seed)


def videos_of(
    run: RunDir,
    request: EvaluationRequest,
    system: System,
    note: OnVideo,
    *,
    load: Load | None = None,
    unmade: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> list[Wanted]:
    """Every video that a system should have, sampled first where the system has a model.

    Args:
        run: the folder.
        request: whose instances and seeds count.
        system: whose videos.
        note: told of each that is sampled, or was before.
        load: gives the model that the system names, if not by loading it anew.
        unmade: why videos that are not sampled again cannot be, by system and name.

    Raises:
        ValueError: the model cannot be loaded, or the videos were made on another set.
    """
    if system.model is None:
        return _entered(run.resolve(str(system.videos)), request, system)
    mine = {name: why for (of, name), why in unmade.items() if of == system.name}
    return _sampled(run, request, system, lambda model: (load or load_model)(run, model), note, mine)


def sample_requests(
    system: System, instances: Sequence[EvaluationInstance], seeds: Sequence[int]
) -> list[SampleRequest]:
    """What a model makes: every instance with every seed, the seeds of an instance as neighbours."""
    return [
        SampleRequest(
            sample_id(instance.instance_id, seed),
            seed,
            _prompt(system, instance),
            instance.references[: system.references],
        )
        for instance in instances
        for seed in seeds
    ]


def _prompt(system: System, instance: EvaluationInstance) -> str:
    return (system.prompts == "standard" and instance.standard_prompt) or instance.prompt


def _sampled(
    run: RunDir,
    request: EvaluationRequest,
    system: System,
    load: Callable[[Mapping[str, Any]], AnyIDPipeline],
    note: OnVideo,
    unmade: Mapping[str, str],
) -> list[Wanted]:
    assert request.settings is not None, "read_request asks for settings where there is a model"
    model, folder = system.model or {}, run.path / system.name
    samples = sample_requests(system, request.instances, request.seeds)
    _, failed = make_videos(
        lambda: load(model),
        [sample for sample in samples if sample.sample_id not in unmade],
        request.settings,
        folder,
        resolve=run.resolve,
        on_sample=lambda facts, seconds: note(system.name, facts["sample_id"], seconds),
    )
    whys = {**unmade, **{item["sample_id"]: f"was not made: {item['error']}" for item in failed}}
    wanted = []
    for instance in request.instances:
        for seed in request.seeds:
            name = sample_id(instance.instance_id, seed)
            why = whys.get(name, "")
            wanted.append(Wanted(system, instance, seed, None if why else folder / f"{name}.mp4", why))
    return wanted


def _entered(folder: Path, request: EvaluationRequest, system: System) -> list[Wanted]:
    """Videos of another model; what is wrong with one is a hole, what was made on another set is refused."""
    num_frames = None
    if (folder / ENTRY_FILE).is_file():
        facts = read_facts(folder)
        num_frames = facts.settings.get("num_frames")
        if facts.of_set:
            check_same(facts.of_set, {"name": request.set_name, "sha256": request.set_sha256})
    names = [instance.instance_id for instance in request.instances]
    videos, holes = find_videos(folder, names, request.seeds, num_frames)
    return [
        Wanted(
            system,
            instance,
            seed,
            videos.get((instance.instance_id, seed)),
            holes.get((instance.instance_id, seed), ""),
        )
        for instance in request.instances
        for seed in request.seeds
    ]
