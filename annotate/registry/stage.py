"""Registration as a stage: a worker that has the weights looks at them, and they become a version."""

from __future__ import annotations

from typing import Any

from annotate.jobs.stages import StageWork, register
from annotate.models import Run, Stage
from annotate.registry.queries import version_found_by
from annotate.registry.registration import register_found


def refused(run: Run, request: dict[str, Any]) -> str:
    """Weights show nobody."""
    return ""


def finish(run: Run, result: dict[str, Any]) -> None:
    register_found(run, result)


def details(run: Run) -> dict[str, Any]:
    return {"model": version_found_by(run)}


WORK = register(
    StageWork(
        name=Stage.REGISTER, command="generator.register", refusal=refused, finish=finish, details=details
    )
)
