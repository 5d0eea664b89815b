"""Videos and scores of `rlhf.evaluate`, a part of a run after another: see `generator.parts`.

A part makes its videos and looks at each; what follows from all of them is left to the run's own command.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from generator.parts import Item, serve
from generator.rundir import RunDir
from rlhf.evaluation.benchmark.set import Benchmark, read_benchmark
from rlhf.evaluation.metrics.registry import OF_FOLDERS
from rlhf.evaluation.request import read_instances, sample_id, score_path
from rlhf.evaluation.stored import in_current_keys

#: Of a request, what only the whole run can use.
_OF_THE_WHOLE = ("compare", "reference", "ablations")


def items(request: Mapping[str, Any], run: RunDir) -> list[Item]:
    """A video each, one system after another. One batch are those that a model makes together."""
    request = in_current_keys(request)
    instances = read_instances(run, request)
    seeds = request["seeds"] if "seeds" in request else _set_of(request, run).seeds
    found = []
    for system, wanted in sorted(request["systems"].items()):
        shown, is_standard = wanted.get("references"), wanted.get("prompts") == "standard"
        for instance in instances:
            prompt = (is_standard and instance.standard_prompt) or instance.prompt
            batch = (system, instance.references[:shown], prompt)
            for seed in map(int, seeds):
                name = sample_id(instance.instance_id, seed)
                video = [f"{system}/{name}.mp4"] if wanted.get("model") is not None else []
                files = (*video, score_path(system, name))
                found.append(Item(f"{system}/{name}", batch, files))
    return found


def _set_of(request: Mapping[str, Any], run: RunDir) -> Benchmark:
    return read_benchmark(run.resolve(request["set"]["path"]), check_media=False)


def part(request: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    """The request for these videos alone; `part` lists them, batch after batch."""
    request = in_current_keys(request)
    batches = []
    for (system, *_), batch in itertools.groupby(items, key=lambda item: item.batch):
        instances = dict.fromkeys(item.name.removeprefix(f"{system}/").rpartition("-")[0] for item in batch)
        batches.append({"system": system, "instances": [*instances]})
    asked = {
        **{name: value for name, value in request.items() if name not in _OF_THE_WHOLE},
        "systems": {one["system"]: request["systems"][one["system"]] for one in batches},
        "metrics": [name for name in request.get("metrics", ["oracle"]) if name not in OF_FOLDERS],
        "part": batches,
    }
    if "path" in request.get("set", {}):
        return asked
    shown = {instance for one in batches for instance in one["instances"]}
    return {
        **asked,
        "set": {"name": request.get("set", {}).get("name", "")},
        "instances": [one for one in request["instances"] if str(one["instance_id"]) in shown],
    }


def loaded(part: Mapping[str, Any]) -> str:
    """Models and metrics."""
    models = [system.get("model") for system in part["systems"].values()]
    metrics = ("metrics", "metric_settings", "models_folder", "allow_non_commercial")
    return json.dumps([models, {name: part.get(name) for name in metrics}], sort_keys=True)


def finished(line: Mapping[str, Any]) -> str | None:
    """A line is a video that was looked at."""
    return f"{line['system']}/{line['sample_id']}"


def main() -> int:
    """Make and look; models and metrics stay in memory."""
    from rlhf.evaluation.making import Maker

    return serve(Maker().make)


if __name__ == "__main__":
    sys.exit(main())
