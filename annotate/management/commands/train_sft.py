from __future__ import annotations

import json
from typing import Any

from annotate.core.errors import RoundError
from annotate.management.loop_command import WAIT, LoopCommand, argument, chosen_model, send_run, switch
from annotate.models import ModelVersion, TrainingSet
from annotate.rounds import queries as round_queries
from annotate.supervised import queries
from annotate.supervised.preview import dry_run
from annotate.supervised.sft import launch_sft
from rlhf.dpo.form import written


class Command(LoopCommand):
    help = "Train an adapter on instances with targets: of the people here, or of a frozen set."
    arguments = (
        argument("--policy", help="name of the model version; the newest one by default"),
        argument("--source", default="", help="only people of this source"),
        argument("--set", help="name of a set, instead of the people as they are now"),
        argument("--config", default="{}", metavar="JSON", help='such as {"steps": 500}'),
        switch("--dry-run", "say what it would learn from, and stop"),
        WAIT,
    )

    def run(self, **options: Any) -> dict[str, Any]:
        policy = chosen_model(options["policy"]) or round_queries.find_model(None)
        if policy is None:
            raise RoundError("there is no model version yet; register one: manage.py register_model")
        if options["source"] and options["source"] not in queries.sources():
            known = ", ".join(queries.sources()) or "none"
            raise RoundError(
                f"nobody of the source {options['source']!r} has an instance with a target; sources: {known}"
            )
        chosen = (
            queries.chosen_set(_set(options["set"]))
            if options["set"]
            else queries.chosen_now(policy, options["source"])
        )
        preview = dry_run(policy, chosen, {name: written(value) for name, value in _config(options).items()})
        told = {
            "policy": policy.name,
            "instances": chosen.facts.num_instances,
            "people": chosen.facts.num_people,
            "frames_per_second": preview.fps,
            "warnings": [f"{one.message} {one.remedy}" for one in preview.warnings],
            "estimated_seconds": preview.estimate.seconds if preview.estimate else None,
        }
        if options["dry_run"]:
            return told
        run = launch_sft(policy, preview, seen=chosen.digest, accepted=True, source=options["source"])
        send_run(run, wait=options["wait"], quiet=options["json"])
        version = ModelVersion.objects.filter(run=run).first()
        return {**told, "run": str(run), "version": version.name if version else "known once it has ended"}


def _set(name: str) -> TrainingSet:
    found = TrainingSet.objects.filter(name=name).last()
    if found is None:
        known = ", ".join(TrainingSet.objects.values_list("name", flat=True)) or "none yet"
        raise RoundError(f"no set {name!r}; known: {known}")
    return found


def _config(options: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(options["config"])
    except ValueError as error:
        raise RoundError(f"--config {options['config']!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise RoundError(f'--config {options["config"]!r} is no JSON object, such as {{"steps": 500}}')
    return found
