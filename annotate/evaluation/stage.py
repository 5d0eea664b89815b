"""Evaluation as a stage: models and metrics on the same inputs make a table."""

from __future__ import annotations

from typing import Any

from annotate.evaluation.consent import refused_in_request
from annotate.evaluation.tables import evaluation_tables
from annotate.jobs.stages import StageWork, register
from annotate.models import Run, Stage


def details(run: Run) -> dict[str, Any]:
    return {"evaluation": evaluation_tables(run) if run.result else None}


WORK = register(
    StageWork(name=Stage.EVALUATE, command="rlhf.evaluate", refusal=refused_in_request, details=details)
)
