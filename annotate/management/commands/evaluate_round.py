from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate import queries
from annotate.management.loop_command import (
    LoopCommand,
    add_round_argument,
    chosen_round,
    send_and_maybe_wait,
)
from annotate.models import Round, Stage
from annotate.services.evaluations import (
    ABLATION_SEEDS,
    EVALUATION_SEEDS,
    queue_ablations,
    queue_evaluation,
)
from annotate.services.rounds import RoundError
from rlhf.evaluation.text import ablation_lines, direction_lines
from rlhf.records import Track


class Command(LoopCommand):
    help = "Compare a round's tuned model with its parent on held-out people, or make the ablation table."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_round_argument(parser)
        parser.add_argument("--wait", action="store_true", help="show progress and return when it ends")
        parser.add_argument(
            "--ablations",
            action="store_true",
            help="wait for the paper's ablation table in miniature: each part of the model left out",
        )

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        return _ablations(round, options) if options["ablations"] else _compare(round, options)


def _compare(round: Round, options: dict[str, Any]) -> dict[str, Any]:
    tuned = queries.done_run(round, Stage.DPO)
    if tuned is None:
        raise RoundError(f"{round} has no tuned model yet; advance it to Flow-DPO first")
    run = queue_evaluation(round, tuned.model_version, seeds=EVALUATION_SEEDS)
    send_and_maybe_wait(run, options)
    run.refresh_from_db()
    found = run.result or {}
    tracks = {str(track): found[str(track)] for track in Track if str(track) in found}
    return {"round": round.name, "run": str(run), "status": run.status, **tracks}


def _ablations(round: Round, options: dict[str, Any]) -> dict[str, Any]:
    queued = queue_ablations(round, seeds=ABLATION_SEEDS)
    send_and_maybe_wait(queued.run, options | {"wait": True})
    queued.run.refresh_from_db()
    result: dict[str, Any] = queued.run.result or {}
    told = {"round": round.name, "run": str(queued.run), "left_out": queued.left_out}
    if options["json"]:
        names = ("set", "arms", "columns", "table", "differences", "directions", "holes", "seconds")
        return told | {name: result[name] for name in names}
    return told | {
        "table": ablation_lines(result),
        "does_the_paper's_direction_hold": direction_lines(result),
        "holes": len(result["holes"]),
        "seconds": result["seconds"],
    }
