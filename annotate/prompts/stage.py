"""Prompts as a stage: models describe references and targets, and prompts become instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q

from annotate.jobs.runs import run_dir
from annotate.jobs.stages import StageWork, register
from annotate.models import IdentityGroup, Run, Split, Stage, Use
from annotate.privacy.consent_queries import refusal_among
from annotate.privacy.personal_data_queries import people_asked_about
from annotate.prompts.generated import store_described
from generator.rundir import RunDir


def refused(run: Run, folder: RunDir) -> str:
    asked = people_asked_about(run.folder)
    held_out = Q(split__in=[Split.EVAL, Split.BENCHMARK])
    every = IdentityGroup.objects.all()
    says = refusal_among(every.exclude(held_out), asked, Use.TRAIN)
    return f"{says} {refusal_among(every.filter(held_out), asked, Use.EVALUATE)}".strip()


def follow(run: Run, lines: Sequence[Mapping[str, Any]]) -> None:
    store_described(run_dir(run), lines)


WORK = register(StageWork(name=Stage.PROMPTS, command="generator.prompts", refusal=refused, follow=follow))
