"""SFT and the reading of its folders as stages: a run on a frozen set becomes a model version."""

from __future__ import annotations

from typing import Any

from annotate.jobs.stages import StageWork, register
from annotate.models import Run, Stage
from annotate.supervised.queries import set_made_by, why_no_consent
from annotate.supervised.run_details import sft_details
from annotate.supervised.sets import register_folder
from annotate.supervised.sft import register_adapter


def refused(run: Run, request: dict[str, Any]) -> str:
    return why_no_consent(run.training_set) if run.training_set else ""


def finish_sft(run: Run, result: dict[str, Any]) -> None:
    register_adapter(run, result)


def finish_folder(run: Run, result: dict[str, Any]) -> None:
    register_folder(run, result)


def folder_details(run: Run) -> dict[str, Any]:
    return {"training_set": set_made_by(run)}


SFT = register(
    StageWork(name=Stage.SFT, command="rlhf.sft", refusal=refused, finish=finish_sft, details=sft_details)
)
#: Whoever asks for it vouched for the people; those whom the site knows are asked about before training.
FOLDER = register(
    StageWork(
        name=Stage.DATASET,
        command="rlhf.sft.read_set",
        refusal=refused,
        finish=finish_folder,
        details=folder_details,
    )
)
