"""What an evaluation asks of every model, and what looks at the videos."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.core.errors import RoundError
from annotate.evaluation.consent import refuse_set
from annotate.jobs.requests import references_requests
from annotate.models import DifferentialPrompt, IdentityGroup, Instance, Reference, Split, Use
from annotate.people.queries import usable_references
from annotate.privacy.consent_queries import refusal, refusal_among
from annotate.rounds import queries
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.rundir import RunDir
from rlhf.evaluation.benchmark.set import read_benchmark
from rlhf.evaluation.metrics.registry import METRICS

#: What looks at the videos unless EVALUATION_METRICS says otherwise; neither needs weights of other people's.
DEFAULT_METRICS: Mapping[str, Mapping[str, Any]] = {"oracle": {}, "quality": {}}
#: How often a caption names an element that stays.
CAPTION_SHARE = 0.5


@dataclass(frozen=True)
class Inputs:
    """What every system is asked for.

    `is_drawn` says whether all of it is of the portrait world, `is_held_out` whether it is this site's
    people, and `request` how a run's request has it. `prompts` are those that models are given, by instance.
    """

    is_drawn: bool
    is_held_out: bool
    request: Callable[[RunDir], dict[str, Any]]
    prompts: Mapping[str, str]


def held_out_people(seeds: Sequence[int], instances: Sequence[Instance] | None = None) -> Inputs:
    """Instances of held-out people who agreed to it; without any chosen, all whose truth is known.

    Raises:
        RoundError: there is nobody to evaluate on, or somebody chosen did not agree.
    """
    wanted = _instances_with_known_truth() if instances is None else instances
    if says := _who_refuses(instances):
        raise RoundError(says)
    groups = _id_groups(wanted)
    asked = [instance for instance in wanted if instance.group_id in groups]
    if not asked:
        raise RoundError(
            "no held-out person with a known truth; import people of split eval and build instances"
            if instances is None
            else "none of the people chosen has a reference that may be used; choose others"
        )

    def request(folder: RunDir) -> dict[str, Any]:
        references = references_requests({instance.pk for instance in asked}, folder)
        return {
            "set": {"name": "held-out people"},
            "seeds": list(seeds),
            "instances": [
                _instance(instance, groups[instance.group_id], folder)
                | {"references": references[instance.pk]}
                for instance in asked
            ],
        }

    is_drawn = all(instance.group.truth is not None for instance in asked)
    return Inputs(is_drawn, True, request, {str(instance.pk): instance.prompt.text for instance in asked})


def benchmark_set(folder: Path) -> Inputs:
    """A benchmark set with the seeds that it names.

    Raises:
        ValueError: it is none, or was altered.
        RoundError: somebody of this site who is in it did not agree to evaluation.
    """
    benchmark = read_benchmark(folder, check_media=False)
    refuse_set(benchmark)
    states = [item for instance in benchmark.instances for item in instance.expected.items()]
    is_drawn = bool(states) and all(state in ELEMENT_STATES[element] for element, state in states)
    named = {"path": str(folder.resolve()), "sha256": benchmark.card.sha256}
    prompts = {instance.instance_id: instance.prompt for instance in benchmark.instances}
    return Inputs(is_drawn, False, lambda run: {"set": named}, prompts)


def metrics_request(*, is_drawn: bool) -> dict[str, Any]:
    """Which metrics a run uses, with their settings and weights; the oracle knows drawn people only.

    Raises:
        ValueError: the file that EVALUATION_METRICS names cannot be used.
    """
    chosen = _chosen_metrics()
    if not is_drawn:
        chosen = {name: options for name, options in chosen.items() if name != "oracle"}
    models = settings.DETECTORS.models
    return {
        "metrics": list(chosen),
        "metric_settings": {name: options for name, options in chosen.items() if options},
        "allow_non_commercial": settings.DETECTORS.allow_non_commercial,
        **({"models_folder": str(models.resolve())} if models else {}),
    }


def _chosen_metrics() -> Mapping[str, Mapping[str, Any]]:
    path: Path | None = settings.EVALUATION_METRICS
    if path is None:
        return DEFAULT_METRICS
    setting = f"EVALUATION_METRICS={str(path)!r}"
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{setting} cannot be read: {error}") from None
    if not isinstance(chosen, dict) or not all(isinstance(options, dict) for options in chosen.values()):
        raise ValueError(
            f'{setting} must hold an object of settings for each metric, such as {{"quality": {{}}}}'
        )
    if unknown := sorted(chosen.keys() - METRICS.keys()):
        raise ValueError(f"{setting} names {unknown[0]!r}; there are {', '.join(METRICS)}")
    return chosen


def _instances_with_known_truth() -> list[Instance]:
    """What nobody described cannot be expected of a video."""
    return [
        instance
        for instance in queries.held_out_instances().order_by("id")
        if all(element["target"] is not None for element in instance.prompt.elements)
    ]


def _who_refuses(chosen: Sequence[Instance] | None) -> str:
    """Who of the people chosen did not agree; where nobody is, those of known truth when none of them did."""
    people = IdentityGroup.objects.all()
    if chosen is not None:
        return refusal_among(people, {instance.group_id for instance in chosen}, Use.EVALUATE)
    if queries.held_out_instances().exists():
        return ""
    return refusal(people.filter(split=Split.EVAL, truth__isnull=False), Use.EVALUATE)


def _id_groups(instances: Iterable[Instance]) -> dict[int, list[Reference]]:
    people = {instance.group_id for instance in instances}
    usable = usable_references(Use.EVALUATE).filter(group__in=people).order_by("group_id", "id")
    return {group: list(references) for group, references in groupby(usable, attrgetter("group_id"))}


def _instance(instance: Instance, group: list[Reference], folder: RunDir) -> dict[str, Any]:
    elements = instance.prompt.elements
    return {
        "instance_id": str(instance.pk),
        # Not the person's name: a result outlives an erasure.
        "identity": f"person-{instance.group_id}",
        "prompt": instance.prompt.text,
        "standard_prompt": standard_prompt(instance.prompt),
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
    known = [element for element in prompt.elements if element["target"] is not None]
    chance = random.Random("/".join(element["target"] for element in known))
    named = [element for element in known if element["changed"] or chance.random() < CAPTION_SHARE]
    return " ".join(_say(element["element"], element["target"]) for element in named)


def _say(element: str, state: str) -> str:
    if state in ELEMENT_STATES[element]:
        return phrase_change(element, state, 0)
    return f"{element.replace('_', ' ').capitalize()}: {state.rstrip('.')}."
