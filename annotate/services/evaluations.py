"""Evaluations: a tuned model against its parent, or the paper's ablations, on held-out people."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate import queries
from annotate.curation_queries import usable_references
from annotate.models import DifferentialPrompt, Instance, ModelVersion, Reference, Round, Run, Stage, User
from annotate.services.rounds import RoundError
from annotate.services.runs import model_request, queue_run, references_request, run_dir
from generator.adapter_files import ADAPTER_FILE
from generator.portraits.world import ABLATION, CHECKPOINT, ELEMENT_STATES, phrase_change
from generator.rundir import RunDir

#: Seeds of the videos that an evaluation makes of each held-out instance.
EVALUATION_SEEDS = [0, 1]
#: More for the ablations: what they change is smaller than what two seeds differ by.
ABLATION_SEEDS = [0, 1, 2]
#: What looks at the videos; neither needs weights that are not shipped. The oracle knows drawn people only.
METRICS = ["oracle", "quality"]
#: How often a caption names an element that stays.
CAPTION_SHARE = 0.5
#: Arms of a run, by name; each says how a request of `rlhf.evaluate` has it.
Arms = Callable[[RunDir], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Ablations:
    """A run that makes the paper's ablation table, and why parts of it are left out."""

    run: Run
    left_out: list[str]


def queue_evaluation(
    round: Round,
    candidate: ModelVersion,
    *,
    seeds: list[int],
    baseline: ModelVersion | None = None,
    instances: Sequence[Instance] | None = None,
    actor: User | None = None,
) -> Run:
    """Queue the comparison of a tuned model with its parent, or with another one, on held-out people.

    Without `instances` it is on all whose truth is known.

    Raises:
        RoundError: there is nobody to compare on, or nothing to compare with.
    """
    other = baseline or candidate.parent
    if other is None:
        raise RoundError(f"{candidate} was not trained here: there is no parent to compare it with")

    def arms(folder: RunDir) -> dict[str, dict[str, Any]]:
        return {"baseline": _arm(other, folder), "candidate": _arm(candidate, folder)}

    request = _request(round, seeds, arms, instances, compare=["baseline", "candidate"])
    # A run is an evaluation of its candidate where that is held against its parent.
    links = {} if baseline else {"candidate": candidate}
    return queue_run(round, Stage.EVALUATE, request, actor=actor, **links)


def queue_ablations(round: Round, *, seeds: list[int], actor: User | None = None) -> Ablations:
    """Queue the paper's ablation table in miniature: the round's model with and without each part.

    The full model is what the round tuned, or its policy where nothing is tuned yet.

    Raises:
        RoundError: there is no held-out person whose truth is known, or another evaluation is under way.
    """
    live = queries.live_run(round, Stage.EVALUATE)
    if live is not None and "ablations" not in run_dir(live).read_request():
        raise RoundError(f"{live} is {live.status}; wait for it, then ask for the ablations again")
    dpo = queries.done_run(round, Stage.DPO)
    full = dpo.model_version if dpo else round.policy
    parent = full.parent if dpo else None
    left_out = [] if parent else [f"w/o RL: {full.name} is not tuned on votes; advance the round to Flow-DPO"]
    if why := _why_no_pd(full):
        left_out.append(f"w/o P&D: {why}")

    def arms(folder: RunDir) -> dict[str, dict[str, Any]]:
        found = {
            "candidate": _arm(full, folder, label=f"{full.name} (full)"),
            "without_assistants": _arm(full, folder, label="w/o AR: only the primary", references=1),
        }
        if parent is not None:
            found["baseline"] = _arm(parent, folder, label=f"w/o RL: {parent.name}")
        if not why:
            found["without_pd"] = _arm(full, folder, label="w/o P&D: captions", prompts="standard")
            found["without_pd"]["model"]["adapters"].insert(0, str(ABLATION.resolve()))
        return found

    ablations = {"without_assistants": "w/o AR", "baseline": "w/o RL", "without_pd": "w/o P&D"}
    if parent is None:
        ablations.pop("baseline")
    if why:
        ablations.pop("without_pd")
    compare: dict[str, Any] = {"compare": ["baseline", "candidate"]} if parent else {}
    request = _request(round, seeds, arms, reference="candidate", ablations=ablations, **compare)
    links = {"candidate": full} if dpo else {}
    return Ablations(queue_run(round, Stage.EVALUATE, request, actor=actor, **links), left_out)


def _why_no_pd(version: ModelVersion) -> str:
    """Why no model without primary and differential prompt goes with this one; empty where one does."""
    if Path(version.base_model).resolve() != CHECKPOINT.resolve():
        return (
            f"it is trained for the shipped portrait model, and {version.name} rests on {version.base_model}"
        )
    if not (ABLATION / ADAPTER_FILE).is_file():
        return f"{ABLATION.name} has no {ADAPTER_FILE}; python -m generator.portraits.train ablation makes it"
    return ""


def _arm(version: ModelVersion, folder: RunDir, **switches: Any) -> dict[str, Any]:
    return {"label": version.name, "model": model_request(version, folder), **switches}


def _request(
    round: Round, seeds: list[int], arms: Arms, instances: Sequence[Instance] | None = None, **more: Any
) -> Callable[[RunDir], dict[str, Any]]:
    wanted = _instances_with_known_truth() if instances is None else instances
    groups = _id_groups(wanted)
    asked = [instance for instance in wanted if instance.group_id in groups]
    if not asked:
        raise RoundError(
            "no held-out person with a known truth; import people of split eval and build instances"
            if instances is None
            else "none of the people chosen has a reference that may be used; choose others"
        )
    is_drawn = all(instance.group.truth is not None for instance in asked)

    def request(folder: RunDir) -> dict[str, Any]:
        return {
            "arms": arms(folder),
            "settings": round.sampler,
            "seeds": seeds,
            "metrics": [name for name in METRICS if is_drawn or name != "oracle"],
            "set": {"name": "held-out people"},
            "instances": [_instance(instance, groups[instance.group_id], folder) for instance in asked],
            **more,
        }

    return request


def _instances_with_known_truth() -> list[Instance]:
    """What nobody described cannot be expected of a video."""
    return [
        instance
        for instance in queries.held_out_instances().order_by("id")
        if all(element["target"] is not None for element in instance.prompt.elements)
    ]


def _id_groups(instances: Iterable[Instance]) -> dict[int, list[Reference]]:
    """What may be shown of each person."""
    found: dict[int, list[Reference]] = defaultdict(list)
    people = {instance.group_id for instance in instances}
    for reference in usable_references().filter(group__in=people).order_by("id"):
        found[reference.group_id].append(reference)
    return dict(found)


def _instance(instance: Instance, group: list[Reference], folder: RunDir) -> dict[str, Any]:
    elements = instance.prompt.elements
    return {
        "instance_id": str(instance.pk),
        # Not the person's name: a result outlives an erasure.
        "identity": f"person-{instance.group_id}",
        "prompt": instance.prompt.text,
        "standard_prompt": standard_prompt(instance.prompt),
        "references": references_request(instance.pk, folder),
        "id_group": [
            {"path": folder.relative(settings.STORAGE_ROOT / item.path), "kind": item.kind} for item in group
        ],
        "expected": {e["element"]: e["target"] for e in elements if e["target"] is not None},
        "changed": [element["element"] for element in elements if element["changed"]],
    }


def standard_prompt(prompt: DifferentialPrompt) -> str:
    """The scene in words: what changes, and half of what stays, since no caption says everything.

    So are the captions that the shipped model's ablation was trained with.
    """
    elements = prompt.elements
    chance = random.Random("/".join(str(element["target"]) for element in elements))
    named = [element for element in elements if element["changed"] or chance.random() < CAPTION_SHARE]
    return " ".join(_say(element["element"], element["target"]) for element in named)


def _say(element: str, state: str) -> str:
    if state in ELEMENT_STATES[element]:
        return phrase_change(element, state, 0)
    return f"{element.replace('_', ' ').capitalize()}: {state.rstrip('.')}."
