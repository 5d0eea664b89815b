"""Stage 2, where models write: instances whose prompts a run of `generator.prompts` writes.

Beside its request such a run's folder holds `plans.json`: what each prompt is for. A prompt becomes an
instance when its shard ends, however that ends, so an incomplete run loses nothing that was paid for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from annotate.jobs.run_folders import stored_records
from annotate.models import IdentityGroup, Run
from annotate.people.instances import Planned, store_instances
from annotate.people.queries import usable_references
from annotate.privacy.consent_queries import may_be_drawn
from annotate.storage.opening import site_storage
from generator.curation.augmentation import Recipe
from generator.files import replacing
from generator.prompts.differential import differential_prompt
from generator.prompts.progress import prompt_file
from generator.prompts.stages import GAMMA
from generator.records import DifferentialPrompt, ElementChange, InstancePlan
from generator.rundir import RunDir

_PLANS = "plans.json"
#: As a plan has it before a model has answered.
NOT_WRITTEN = differential_prompt(None, {}, {})


def write_plans(folder: RunDir, plans: Iterable[Planned]) -> None:
    """Keep what the prompts are for, under the digests of their instances."""
    rows = {
        planned.digest: {
            "group": planned.group.pk,
            "plan": asdict(planned.plan),
            "recipes": [recipe.to_json() for recipe in planned.recipes],
        }
        for planned in plans
    }
    folder.path.mkdir(parents=True, exist_ok=True)
    with replacing(folder.path / _PLANS) as temporary:
        temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def missing_of(run: Run) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Of a run that ended incomplete: its summary, and the prompts that are missing with the reasons."""
    try:
        with stored_records(run.folder) as folder:
            report = json.loads((folder.path / "missing.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, []
    return report["summary"], report["missing"]


def store_prompts(run: Run, pair_ids: Sequence[str]) -> int:
    """Make an instance of every prompt that a shard brought up; gives how many of these there are."""
    found = []
    for pair_id in pair_ids:
        with contextlib.suppress(FileNotFoundError):
            found.append(json.loads(b"".join(site_storage().stream(f"{run.folder}/{prompt_file(pair_id)}"))))
    store_described(run, found)
    return len(found)


def store_described(run: Run, lines: Iterable[Mapping[str, Any]]) -> int:
    """Make an instance of every prompt that the run announced; returns how many are new.

    Safe to repeat. A prompt that asks for nothing, because primary and target were found alike, makes none;
    nor does one whose references were dropped or erased, or whose person took their consent back, meanwhile.
    """
    announced = [line for line in lines if "pair_id" in line]
    if not announced:
        return 0
    with stored_records(run.folder) as folder:
        plans = _read_plans(folder)
        method = _method(folder.read_request())
    return sum(_store(plans[line["pair_id"]], line["prompt"], method) for line in announced)


def _store(row: Mapping[str, Any], prompt: Mapping[str, Any], method: str) -> bool:
    made = DifferentialPrompt(prompt["text"], tuple(ElementChange(**item) for item in prompt["elements"]))
    agreed = IdentityGroup.objects.filter(may_be_drawn("", with_target=True))
    group = agreed.filter(pk=row["group"]).first()
    if not made.changed or group is None:
        return False
    plan = InstancePlan(
        **{**row["plan"], "assistants": tuple(row["plan"]["assistants"]), "prompt": NOT_WRITTEN}
    )
    usable = {item.sha256: item for item in usable_references().filter(group=group)}
    if not {plan.primary, *plan.assistants, plan.target} <= usable.keys():
        return False
    planned = Planned(group, plan, usable, tuple(Recipe.from_json(recipe) for recipe in row["recipes"]))
    written = replace(planned, plan=replace(plan, prompt=made), method=method)
    return bool(store_instances({planned.digest: written}))


def _read_plans(folder: RunDir) -> dict[str, dict[str, Any]]:
    try:
        return dict(json.loads((folder.path / _PLANS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _method(request: Mapping[str, Any]) -> str:
    def name(spec: Mapping[str, Any]) -> str:
        return str(spec.get("model", spec["backend"])).rstrip("/").rsplit("/", 1)[-1]

    said = f"described by {name(request['describer'])}"
    if "comparer" in request:
        said += f", compared by {name(request['comparer'])} at {request.get('gamma', GAMMA)}"
    return said[:200]
