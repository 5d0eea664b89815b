"""Flow-DPO as a stage: a run on a frozen export becomes a model version."""

from __future__ import annotations

from typing import Any

from annotate.jobs.stages import StageWork, register
from annotate.models import Run, Stage, Use
from annotate.privacy.consent import people_in
from annotate.privacy.consent_queries import refusal
from annotate.training.dpo import register_adapter
from annotate.training.run_details import dpo_details


def refused(run: Run, request: dict[str, Any]) -> str:
    return refusal(people_in(run.export), Use.TRAIN) if run.export else ""


def finish(run: Run, result: dict[str, Any]) -> None:
    register_adapter(run, result)


WORK = register(
    StageWork(name=Stage.DPO, command="rlhf.dpo", refusal=refused, finish=finish, details=dpo_details)
)
