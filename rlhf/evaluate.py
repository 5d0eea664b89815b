"""Is the candidate better than the baseline? `python -m rlhf.evaluate RUNDIR [--attached]`.

    request.json    {"stage": "evaluate", "baseline": model, "candidate": model, "settings": {...}, "seeds":
    [...],
                     "instances": [{"instance_id", "prompt", "references", "id_group", "expected"}]}
    baseline/       <instance_id>-<seed>.mp4, the same seeds for both models
    candidate/
    metrics.jsonl   one line a video
    result.json     win rate and gain on each track with intervals, the oracle's reliability, every score

A killed run is resumed by the same command: finished videos stay.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.portraits.oracle import Oracle
from generator.records import ReferenceKind, SampleRequest, SamplerSettings
from generator.rundir import RunDir, RunError, run_command
from generator.sample import load_model, make_videos
from rlhf.evaluation.paired import compare
from rlhf.evaluation.score import OracleScorer
from rlhf.records import Track

MODELS = ("baseline", "candidate")


@dataclass(frozen=True)
class EvaluationInstance:
    """One held-out input and what a perfect video of it shows.

    Attributes:
        instance_id: names the files.
        prompt: the differential prompt's text.
        references: (path, kind), the first is the primary.
        id_group: every reference of the person.
        expected: the state of each of the seven elements.
    """

    instance_id: str
    prompt: str
    references: tuple[tuple[str, ReferenceKind], ...]
    id_group: tuple[str, ...]
    expected: Mapping[str, str]

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> EvaluationInstance:
        """Read one entry of the request.

        Raises:
            ValueError: a field is missing or of another kind.
        """
        try:
            return cls(
                str(item["instance_id"]),
                str(item["prompt"]),
                tuple((str(r["path"]), ReferenceKind(r["kind"])) for r in item["references"]),
                tuple(str(r["path"]) for r in item["id_group"]),
                {str(element): str(state) for element, state in item["expected"].items()},
            )
        except KeyError as missing:
            raise ValueError(f"instance {item.get('instance_id', '?')} has no {missing}") from None


def main(run: RunDir, attached: bool) -> None:
    """Sample with both models, score, compare.

    Raises:
        RunError: nothing can be compared.
    """
    with run.open(attached=attached) as request:
        if run.is_done:
            return
        try:
            settings = SamplerSettings(**request["settings"])
            instances = [EvaluationInstance.from_json(item) for item in request["instances"]]
            seeds = [int(seed) for seed in request["seeds"]]
            models = {name: request[name] for name in MODELS}
        except (KeyError, TypeError) as error:
            raise RunError(f"{run.path / 'request.json'} is no request to evaluate: {error}") from None
        if not instances or not seeds:
            raise RunError(f"{len(instances)} instances and {len(seeds)} seeds: there is nothing to evaluate")
        scorer = OracleScorer(Oracle.load())  # before hours of sampling, not after them
        failed = _sample(run, models, instances, seeds, settings)
        rows = _score(run, instances, seeds, scorer, failed={item["sample_id"] for item in failed})
        run.write_result(
            {**_compare(rows), "oracle": scorer.oracle.trust, "instances": rows, "failed": failed}
        )


def sample_requests(instances: list[EvaluationInstance], seeds: list[int]) -> list[SampleRequest]:
    """What each model makes: every instance with every seed, the seeds of an instance as neighbours."""
    return [
        SampleRequest(_sample_id(instance, seed), seed, instance.prompt, instance.references)
        for instance in instances
        for seed in seeds
    ]


def _sample_id(instance: EvaluationInstance, seed: int) -> str:
    return f"{instance.instance_id}-{seed}"


def _sample(
    run: RunDir,
    models: Mapping[str, Any],
    instances: list[EvaluationInstance],
    seeds: list[int],
    settings: SamplerSettings,
) -> list[dict[str, str]]:
    """Make what is missing under `baseline/` and `candidate/`; return what could not be made."""
    requests = sample_requests(instances, seeds)
    run.truncate_metrics(lambda line: False)
    done = itertools.count(1)
    failed = []
    for name, model in models.items():

        def note(facts: dict[str, Any], seconds: float, name: str = name) -> None:
            line = {"model": name, "sample_id": facts["sample_id"], "seconds": round(seconds, 3)}
            run.append_metrics({**line, "done": next(done), "total": len(models) * len(requests)})

        _, missing = make_videos(
            lambda model=model: load_model(run, model),  # type: ignore[misc]
            requests,
            settings,
            run.path / name,
            resolve=run.resolve,
            on_sample=note,
        )
        failed += [{"model": name, **item} for item in missing]
    return failed


def _score(
    run: RunDir, instances: list[EvaluationInstance], seeds: list[int], scorer: OracleScorer, failed: set[str]
) -> list[dict[str, Any]]:
    """Both models' scores of every video; an instance with a hole is left out whole, and named as failed."""
    rows = []
    for instance in instances:
        if any(_sample_id(instance, seed) in failed for seed in seeds):
            continue
        id_group = [run.resolve(path) for path in instance.id_group]
        for seed in seeds:
            row: dict[str, Any] = {"instance_id": instance.instance_id, "seed": seed}
            for name in MODELS:
                video = Path(name) / f"{_sample_id(instance, seed)}.mp4"
                scores = scorer.score(run.path / video, id_group, instance.expected)
                row[name] = {"path": str(video), **{str(t): round(score, 6) for t, score in scores.items()}}
            rows.append(row)
    return rows


def _compare(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One comparison a track."""
    if not rows:
        raise RunError("no instance could be sampled by both models; see the errors of the references")
    groups = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row["instance_id"])]
    return {
        str(track): compare(
            *([[row[name][track] for row in group] for group in groups] for name in MODELS)
        ).to_json()
        for track in Track
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
