"""What a run of `rlhf.evaluate` is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from generator.files import file_sha256
from generator.records import SamplerSettings, ShownReference
from generator.rundir import RunDir, RunError
from generator.validation import Count, read, record
from rlhf.evaluation.benchmark.set import Benchmark, read_benchmark
from rlhf.evaluation.columns import PAPER_ABLATIONS
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.stored import in_current_keys

Prompts = Literal["differential", "standard"]

SCORES = "scores"
#: Folders of a run folder that no system may be called by.
_TAKEN = {SCORES}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@record
class System:
    """One row of the table: a model, or videos that were made elsewhere."""

    name: str = Field(description="of its folder")
    label: str = Field(description="for people")
    model: Mapping[str, Any] | None = Field(
        default=None, description="base and adapters, see generator.sample; None where there are videos"
    )
    videos: str | None = Field(
        default=None, description="folder of <instance_id>-<seed>.mp4, or <instance_id>.mp4 with one seed"
    )
    references: Count | None = Field(
        default=None, description="how many the model is shown, from the primary on; None shows all"
    )
    prompts: Prompts = Field(
        default="differential",
        description="standard gives the model the whole scene in words instead of what changes",
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.model is None) == (self.videos is None):
            raise ValueError("it must have either a model or a folder of videos")
        return self

    @classmethod
    def from_json(cls, name: str, item: Mapping[str, Any]) -> Self:
        """Read one entry of `systems`.

        Raises:
            ValueError: neither a model nor videos or both, or a value out of its range.
        """
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ValueError(f"system {name!r} is no folder's name; use letters, digits, - and _")
        try:
            return read(cls, {"label": name.replace("_", " "), **item, "name": name})
        except ValueError as error:
            raise ValueError(f"system {name}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """What the result says of it."""
        return {key: value for key, value in asdict(self).items() if key != "name" and value is not None}


@record
class EvaluationRequest:
    """A whole request."""

    set_name: str = Field(description="of the instances")
    set_sha256: str = Field(description="see set_sha256")
    instances: tuple[EvaluationInstance, ...] = Field(description="what is asked of every system")
    seeds: tuple[int, ...] = Field(description="of each instance's videos")
    systems: tuple[System, ...] = Field(description="by name")
    settings: SamplerSettings | None = Field(description="of the sampler; None where no system has a model")
    compare: tuple[str, str] | None = Field(description="baseline and candidate of the headline's win rates")
    reference: str | None = Field(description="the system against which differences are taken")
    metrics: tuple[str, ...] = Field(description="by name")
    metric_settings: Mapping[str, Mapping[str, Any]] = Field(description="by metric")
    models_folder: Path | None = Field(description="of weights")
    allow_non_commercial: bool = Field(description="whether weights that forbid commercial use may be used")
    ablations: Mapping[str, str] = Field(description="the paper's name of each system that is one")


def read_request(run: RunDir, item: Mapping[str, Any]) -> EvaluationRequest:
    """Read a run's request, and the set of instances that it names.

    Raises:
        RunError: a field is missing or does not fit; one line names it.
        ValueError: likewise.
    """
    item = in_current_keys(item)
    try:
        asked = _read_set(run, item)
        seeds = tuple(int(seed) for seed in item.get("seeds", asked.seeds))
        systems = tuple(System.from_json(name, system) for name, system in sorted(item["systems"].items()))
        settings = read(SamplerSettings, item["settings"]) if "settings" in item else None
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{run.path / 'request.json'} is no request to evaluate: {error}") from None
    _check(asked.instances, seeds, systems, settings)
    compare = _compared(item.get("compare"), systems)
    return EvaluationRequest(
        set_name=asked.name,
        set_sha256=asked.sha256,
        instances=asked.instances,
        seeds=seeds,
        systems=systems,
        settings=settings,
        compare=compare,
        reference=_system(item.get("reference", compare[1] if compare else None), systems, "reference"),
        metrics=tuple(dict.fromkeys(item.get("metrics", ["oracle"]))),
        metric_settings=item.get("metric_settings", {}),
        models_folder=run.resolve(item["models_folder"]) if item.get("models_folder") else None,
        allow_non_commercial=bool(item.get("allow_non_commercial", False)),
        ablations=_ablations(item.get("ablations", {}), systems),
    )


def sample_id(instance_id: str, seed: int) -> str:
    """What a request of `generator.sample` calls a video: its file's name without the ending."""
    return f"{instance_id}-{seed}"


def score_path(system: str, name: str) -> str:
    """Where in the run's folder the scores of a video are kept."""
    return f"{SCORES}/{system}/{name}.json"


def read_instances(run: RunDir, item: Mapping[str, Any]) -> tuple[EvaluationInstance, ...]:
    """The instances of a request, or of the benchmark set that it names.

    Raises:
        KeyError: the request has neither.
        ValueError: an instance or the set cannot be read.
    """
    if "path" in item.get("set", {}):
        return _placed(run, read_benchmark(run.resolve(item["set"]["path"]), check_media=False))
    return tuple(EvaluationInstance.from_json(instance) for instance in item["instances"])


def set_sha256(instances: tuple[EvaluationInstance, ...], resolve: Callable[[str], Path]) -> str:
    """Equal for sets that ask for the same of the same files, wherever these lie."""
    digests = [instance_sha256(instance, resolve) for instance in instances]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def instance_sha256(instance: EvaluationInstance, resolve: Callable[[str], Path]) -> str:
    """Equal for instances that ask for the same, with the same files in the same order."""

    def content(path: str | None) -> str | None:
        if path is None:
            return None
        file = resolve(path)
        return file_sha256(file) if file.is_file() else "missing"

    told = asdict(instance) | {
        "references": [(content(path), str(kind)) for path, kind in instance.references],
        "id_group": [content(path) for path in instance.id_group],
        "elements": [(element.name, content(element.path)) for element in instance.elements],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Set:
    name: str
    sha256: str
    instances: tuple[EvaluationInstance, ...]
    seeds: tuple[int, ...] = ()


def _read_set(run: RunDir, item: Mapping[str, Any]) -> _Set:
    """What is asked for, and that it is what was named."""
    named = item.get("set", {})
    if "path" in named:
        card = (benchmark := read_benchmark(run.resolve(named["path"]))).card
        asked = _Set(card.name, card.sha256, _placed(run, benchmark), benchmark.seeds)
    else:
        instances = read_instances(run, item)
        asked = _Set(str(named.get("name", "")), set_sha256(instances, run.resolve), instances)
    wanted = named.get("sha256", asked.sha256)
    if wanted != asked.sha256:
        raise RunError(
            f"the set {asked.name!r} hashes to {asked.sha256}, not to {wanted}: its instances or files are "
            "others; results on different sets are not compared"
        )
    return asked


def _placed(run: RunDir, benchmark: Benchmark) -> tuple[EvaluationInstance, ...]:
    """The instances of a set, with paths that start at the run folder."""
    return tuple(
        _moved(instance, lambda path: run.relative(benchmark.resolve(path)))
        for instance in benchmark.instances
    )


def _moved(instance: EvaluationInstance, move: Callable[[str], str]) -> EvaluationInstance:
    return replace(
        instance,
        references=tuple(ShownReference(move(path), kind) for path, kind in instance.references),
        id_group=tuple(map(move, instance.id_group)),
        elements=tuple(
            replace(element, path=None if element.path is None else move(element.path))
            for element in instance.elements
        ),
    )


def _check(
    instances: tuple[EvaluationInstance, ...],
    seeds: tuple[int, ...],
    systems: tuple[System, ...],
    settings: SamplerSettings | None,
) -> None:
    if not (instances and seeds and systems):
        raise RunError(
            f"{len(instances)} instances, {len(seeds)} seeds and {len(systems)} systems: there is nothing to "
            "evaluate; give one of each at least"
        )
    names = [instance.instance_id for instance in instances]
    for what, given in (("instance", Counter(names)), ("seed", Counter(map(str, seeds)))):
        if twice := [value for value, times in given.items() if times > 1]:
            raise RunError(f"{what} {twice[0]} is there twice; give each once")
    if bad := [name for name in names if not _NAME.fullmatch(name)]:
        raise RunError(f"instance {bad[0]!r} cannot name a file; use letters, digits, - and _")
    if blind := [instance.instance_id for instance in instances if not instance.references]:
        raise RunError(f"instance {blind[0]} has no reference; give at least the primary one")
    if settings is None and (sampled := [system.name for system in systems if system.model is not None]):
        raise RunError(f"system {sampled[0]} has a model but the request has no settings to sample with")


def _system(name: Any, systems: tuple[System, ...], what: str) -> str | None:
    if name is not None and name not in [system.name for system in systems]:
        raise RunError(
            f"{what} names system {name!r}; there are {', '.join(system.name for system in systems)}"
        )
    return None if name is None else str(name)


def _compared(names: Any, systems: tuple[System, ...]) -> tuple[str, str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != 2:
        raise RunError(f"compare is {names!r}; name a baseline and a candidate")
    baseline, candidate = (str(_system(name, systems, "compare")) for name in names)
    return baseline, candidate


def _ablations(ablations: Mapping[str, str], systems: tuple[System, ...]) -> Mapping[str, str]:
    for name, ablation in ablations.items():
        _system(name, systems, "ablations")
        if ablation not in PAPER_ABLATIONS:
            raise RunError(
                f"system {name} is ablation {ablation!r}; the paper has {', '.join(PAPER_ABLATIONS)}"
            )
    return ablations
