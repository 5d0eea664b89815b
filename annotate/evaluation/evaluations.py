"""Evaluations: a tuned model against its parent, the paper's ablations, and other models beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotate.core.errors import RoundError
from annotate.evaluation.inputs import Inputs, held_out_people, metrics_request
from annotate.jobs.queries import done_run, live_run
from annotate.jobs.requests import model_request
from annotate.jobs.runs import queue_run, read_request, run_dir
from annotate.models import Instance, ModelVersion, Round, Run, Stage, User
from annotate.people.prompt_reader_queries import reader_of
from annotate.registry.versions import last_round
from annotate.rounds.prompt_limits import learn_limit, say_left_out
from generator.adapter_files import ADAPTER_FILE
from generator.portraits.world import ABLATION, CHECKPOINT
from generator.records import SamplerSettings
from generator.rundir import RunDir
from rlhf.evaluation.stored import in_current_keys

#: Seeds of the videos that an evaluation makes of each held-out instance.
EVALUATION_SEEDS = [0, 1]
#: More for the ablations: what they change is smaller than what two seeds differ by.
ABLATION_SEEDS = [0, 1, 2]
#: Systems of a run, by name; each says how a request of `rlhf.evaluate` has it.
Systems = Callable[[RunDir], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Table:
    """A run that makes a table of several systems, and why rows of it are left out."""

    run: Run
    left_out: list[str]


def round_to_evaluate_in(version: ModelVersion) -> Round:
    """Whose size of videos an evaluation takes: the round that trained a version, or the newest from it.

    Raises:
        RoundError: there is none.
    """
    round = (version.run.round if version.run else None) or last_round(version)
    if round is None:
        raise RoundError(
            f"no round led to {version} or started from it, so no size of videos is known; start one from it"
        )
    return round


def tuned_in(round: Round) -> ModelVersion:
    """What a round has tuned.

    Raises:
        RoundError: nothing yet.
    """
    tuned = done_run(round, Stage.DPO)
    if tuned is None:
        raise RoundError(f"{round} has no tuned model yet; advance it to Flow-DPO first")
    return tuned.model_version


def evaluate_version(version: ModelVersion, actor: User | None = None) -> Run:
    """Queue the evaluation of any version on held-out people; it waits for no votes. The caller sends it.

    It is held against its parent, or measured alone where it has none.

    Raises:
        RoundError: no round tells the size, nobody can be evaluated on, or another evaluation of the round is
            under way.
    """
    round = round_to_evaluate_in(version)
    if version.parent is not None:
        return queue_evaluation(round, version, seeds=EVALUATION_SEEDS, actor=actor)

    def systems(folder: RunDir) -> dict[str, dict[str, Any]]:
        return {"candidate": _system(version, folder)}

    request = _request(round, held_out_people(EVALUATION_SEEDS), systems, reference="candidate")
    _refuse_another(round, request)
    return queue_run(round, Stage.EVALUATE, request, actor=actor)


def queue_evaluation(
    round: Round,
    candidate: ModelVersion,
    *,
    seeds: list[int],
    baseline: ModelVersion | None = None,
    instances: Sequence[Instance] | None = None,
    sampler: SamplerSettings | None = None,
    actor: User | None = None,
) -> Run:
    """Queue the comparison of a tuned model with its parent, or with another one, on held-out people.

    Without `instances` it is on all whose truth is known, without `sampler` with the round's.

    Raises:
        RoundError: there is nobody to compare on, nothing to compare with, or another evaluation under way.
    """
    other = baseline or candidate.parent
    if other is None:
        raise RoundError(f"{candidate} was not trained here: there is no parent to compare it with")

    def systems(folder: RunDir) -> dict[str, dict[str, Any]]:
        return {"baseline": _system(other, folder), "candidate": _system(candidate, folder)}

    inputs = held_out_people(seeds, instances)
    for version in (other, candidate):
        _unread(version, inputs)
    request = _request(
        round, inputs, systems, sampler, compare=["baseline", "candidate"], reference="candidate"
    )
    # A run is an evaluation of its candidate where that is held against its parent.
    links = {} if baseline else {"candidate": candidate}
    run = queue_run(round, Stage.EVALUATE, request, actor=actor, **links)
    if run.candidate != links.get("candidate"):
        raise RoundError(f"{run} is {run.status} and compares something else; wait for it, or cancel it")
    return run


def queue_table(
    round: Round,
    inputs: Inputs,
    *,
    with_ablations: bool = False,
    entries: Mapping[str, Path] | None = None,
    actor: User | None = None,
) -> Table:
    """Queue a table: the round's model, and beside it whatever is to be compared with it.

    That is what the round tuned beside its parent, or its policy where nothing is tuned yet; with the paper's
    ablations, each part of it left out; and folders of other models' videos, by name.

    Raises:
        RoundError: a folder cannot be used, or another evaluation is under way.
    """
    dpo = done_run(round, Stage.DPO)
    full = dpo.model_version if dpo else round.policy
    unread = _unread(full, inputs)
    rows = [*_models(full, full.parent if dpo else None), *_entries(entries or {})]
    if with_ablations:
        rows += _ablations(full)
    made = [row for row in rows if not row.why_not]

    def systems(folder: RunDir) -> dict[str, dict[str, Any]]:
        return {row.name: row.system(folder) for row in made}

    more: dict[str, Any] = {"reference": "candidate"}
    if with_ablations:
        more["ablations"] = {row.name: row.ablation for row in made if row.ablation}
    if any(row.name == "baseline" for row in made):
        more["compare"] = ["baseline", "candidate"]
    request = _request(round, inputs, systems, **more)
    _refuse_another(round, request)
    # A benchmark set's people are not those that the round's model is held against its parent on.
    links = {"candidate": full} if dpo and inputs.is_held_out else {}
    run = queue_run(round, Stage.EVALUATE, request, actor=actor, **links)
    return Table(run, [*(f"{row.ablation}: {row.why_not}" for row in rows if row.why_not), *unread])


def _unread(version: ModelVersion, inputs: Inputs) -> list[str]:
    """Inputs of which a model makes no video, since it would not read the whole prompt: holes of the table.

    Raises:
        RoundError: there would be nothing else.
    """
    learn_limit(version)
    reader = reader_of(version)
    if reader is None:
        return []
    problems = {name: reader.read(prompt).problem for name, prompt in inputs.prompts.items()}
    unread = [f"instance {name} for {version}: {problem}" for name, problem in problems.items() if problem]
    if unread and len(unread) == len(problems):
        raise RoundError(say_left_out(unread))
    return unread


@dataclass(frozen=True)
class _Row:
    """One system, as a request has it; `why_not` says why there is none."""

    name: str
    system: Callable[[RunDir], dict[str, Any]]
    ablation: str = ""
    why_not: str = ""


def _models(full: ModelVersion, parent: ModelVersion | None) -> list[_Row]:
    why_not = "" if parent else f"{full.name} is not tuned on votes; advance the round to Flow-DPO"
    return [
        _Row("candidate", lambda folder: _system(full, folder, label=f"{full.name} (full)")),
        _Row("baseline", lambda folder: _system(parent or full, folder), "w/o RL", why_not),
    ]


def _ablations(full: ModelVersion) -> list[_Row]:
    def without_pd(folder: RunDir) -> dict[str, Any]:
        system = _system(full, folder, label="captions for differential prompts", prompts="standard")
        system["model"]["adapters"].insert(0, str(ABLATION.resolve()))
        return system

    return [
        _Row(
            "without_assistants",
            lambda folder: _system(full, folder, label="the primary reference alone", references=1),
            "w/o AR",
        ),
        _Row("without_pd", without_pd, "w/o P&D", _why_no_pd(full)),
    ]


def _entries(entries: Mapping[str, Path]) -> list[_Row]:
    for name, place in entries.items():
        if not place.is_dir():
            raise RoundError(f"{name} has no folder {place}; name one with its videos")
        if name in ("candidate", "baseline", "without_assistants", "without_pd"):
            raise RoundError(f"another model cannot be called {name}; give it its own name")
    return [_entry(name, place) for name, place in entries.items()]


def _entry(name: str, place: Path) -> _Row:
    return _Row(name, lambda folder: {"videos": str(place.resolve()), "label": name})


def _refuse_another(round: Round, request: Callable[[RunDir], dict[str, Any]]) -> None:
    """Asking again for the run that is under way is fine, asking for another one is not."""
    live = live_run(round, Stage.EVALUATE)
    if live is None:
        return
    asked = json.loads(json.dumps({"stage": str(Stage.EVALUATE), **request(run_dir(live))}))
    if in_current_keys(read_request(live)) != asked:
        raise RoundError(f"{live} is {live.status} and compares something else; wait for it, or cancel it")


def _why_no_pd(version: ModelVersion) -> str:
    """Why no model without primary and differential prompt goes with this one; empty where one does."""
    if Path(version.base_model).resolve() != CHECKPOINT.resolve():
        return f"it is made for the shipped portrait model, and {version.name} rests on {version.base_model}"
    if not (ABLATION / ADAPTER_FILE).is_file():
        return f"{ABLATION.name} has no {ADAPTER_FILE}; python -m generator.portraits.train ablation makes it"
    return ""


def _system(version: ModelVersion, folder: RunDir, **switches: Any) -> dict[str, Any]:
    return {"label": version.name, "model": model_request(version, folder), **switches}


def _request(
    round: Round, inputs: Inputs, systems: Systems, sampler: SamplerSettings | None = None, **more: Any
) -> Callable[[RunDir], dict[str, Any]]:
    metrics = metrics_request(is_drawn=inputs.is_drawn)

    def request(folder: RunDir) -> dict[str, Any]:
        return {
            "systems": systems(folder),
            "settings": asdict(sampler) if sampler else round.sampler,
            **metrics,
            **inputs.request(folder),
            **more,
        }

    return request
