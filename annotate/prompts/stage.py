"""Prompts as a stage: models describe references and targets, and prompts become instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotate.jobs.shards import seconds_per_item
from annotate.jobs.stages import Sharding, StageWork, register
from annotate.models import IdentityGroup, Run, Shard, Stage, Use
from annotate.privacy.consent_queries import is_held_out, refusal_among
from annotate.privacy.personal_data_queries import people_asked_about
from annotate.prompts.generated import store_described, store_prompts


def refused(run: Run, request: dict[str, Any]) -> str:
    asked = people_asked_about(run.folder)
    says = refusal_among(IdentityGroup.objects.exclude(is_held_out()), asked, Use.TRAIN)
    others = refusal_among(IdentityGroup.objects.filter(is_held_out()), asked, Use.EVALUATE)
    return f"{says} {others}".strip()


def follow(run: Run, lines: Sequence[Mapping[str, Any]]) -> None:
    store_described(run, lines)


def seconds_per_prompt(run: Run) -> float | None:
    """By the newest prompts, whoever wrote them: a site asks the same models for long."""
    return seconds_per_item(Shard.objects.filter(run__stage=Stage.PROMPTS))


WORK = register(
    StageWork(
        name=Stage.PROMPTS,
        command="generator.prompts",
        sharding=Sharding(
            parts="generator.prompts.parts",
            unit="prompts",
            seconds=seconds_per_prompt,
            refusal=lambda run, request, start, stop: refused(run, request),
            store=store_prompts,
        ),
        refusal=refused,
        follow=follow,
    )
)
