"""Stage 2, where models write: queue the prompts of people whose clips nobody described."""

from __future__ import annotations

import json
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from annotate.jobs.runs import queue_run
from annotate.models import Instance, Run, RunMetric, Stage, User
from annotate.people.instances import BuildReport, Planned, cut_crops, people_to_draw, plan_instances
from annotate.people.prompt_reader_queries import tokenizer_path, versions_in_use
from annotate.prompts.generated import store_described, write_plans
from generator.instances import Draw
from generator.prompts.plan import read_plan
from generator.rundir import RunDir


def prompt_models() -> dict[str, Any]:
    """Who describes and who compares: the JSON file that PROMPT_MODELS names.

    Raises:
        ValueError: it is not set, or the file cannot be used; the message names the remedy.
    """
    if settings.PROMPT_MODELS is None:
        raise ValueError(
            "PROMPT_MODELS is not set; name a JSON file with a describer and a comparer, see docs/prompts.md"
        )
    path: Path = settings.PROMPT_MODELS
    try:
        models = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"PROMPT_MODELS={str(path)!r} cannot be read: {error}") from None
    if not isinstance(models, dict):
        raise ValueError(f"PROMPT_MODELS={str(path)!r} must hold a JSON object")
    for backend in (models.get("describer"), models.get("comparer")):
        if isinstance(backend, dict):
            _make_absolute(backend, path.parent)
    try:
        read_plan({"stage": "prompts", "media": {}, "pairs": [], **models}, path.parent.joinpath)
    except ValueError as error:
        raise ValueError(f"PROMPT_MODELS={str(path)!r}: {error}") from None
    return models


def _make_absolute(backend: dict[str, Any], folder: Path) -> None:
    """Paths in the file start at its folder; in a request they would start at the run's."""
    names = ["api_key_file", *(["model"] if backend.get("backend") in ("local", "embedding") else [])]
    for name in names:
        if isinstance(backend.get(name), str):
            backend[name] = str((folder / backend[name]).resolve())


def queue_prompts(
    draw: Draw, *, split: str | None = None, source: str | None = None, actor: User | None = None
) -> tuple[Run | None, BuildReport]:
    """Queue a run that writes the prompts of instances with targets; None when all are there already.

    Raises:
        ValueError: there is nobody to draw from, or PROMPT_MODELS cannot be used.
    """
    models = prompt_models()
    report = BuildReport()
    people = people_to_draw(split, source, with_target=True, report=report)
    planned = list(plan_instances(people, draw, report, is_observed=True))
    answered = _answered([item.digest for item in planned])
    wanted = [item for item in planned if item.digest not in answered]
    report.instances = len(answered)
    report.new_instances = len(wanted)
    if not wanted:
        return None, report

    def request(folder: RunDir) -> dict[str, Any]:
        write_plans(folder, wanted)
        pairs = [_pair(item) for item in wanted]
        media = sorted({pair[role] for pair in pairs for role in ("primary", "target")})
        return {
            **models,
            "readers": readers_request(folder),
            "media": {path: folder.relative(settings.STORAGE_ROOT / path) for path in media},
            "pairs": pairs,
        }

    return queue_run(None, Stage.PROMPTS, request, actor=actor), report


def readers_request(folder: RunDir) -> dict[str, dict[str, Any]]:
    """The models that the prompts are for; none where one of them is not known, for it may read any."""
    versions = versions_in_use()
    if any(version.max_tokens is None for version in versions):
        return {}
    return {
        version.name: {
            "tokenizer": folder.relative(settings.STORAGE_ROOT / tokenizer_path(version.tokenizer_sha256)),
            "max_tokens": version.max_tokens,
        }
        for version in versions
    }


def _answered(digests: list[str]) -> set[str]:
    """Those that models answered before, for good: what was alike stays so, what can be made now is made."""
    known = set(Instance.objects.filter(digest__in=digests).values_list("digest", flat=True))
    lines = RunMetric.objects.annotate(digest=Cast(KT("values__pair_id"), TextField()))
    lines = lines.filter(run__stage=Stage.PROMPTS, digest__in=digests)
    for run, of_run in groupby(lines.select_related("run").order_by("run", "line"), attrgetter("run")):
        answers = {line.values["pair_id"]: line.values for line in of_run}
        store_described(run, [answers[name] for name in answers.keys() - known])
        known |= answers.keys()
    return known


def _pair(planned: Planned) -> dict[str, str]:
    """The primary as it will be shown, the target as it is; media go by their places in the storage."""
    plan = planned.plan
    assert plan.target is not None, "an observed plan has a target"
    primary = cut_crops(planned)[0].get("path", planned.references[plan.primary].path)
    return {"pair_id": planned.digest, "primary": primary, "target": planned.references[plan.target].path}
