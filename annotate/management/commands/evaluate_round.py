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
from annotate.models import Stage
from annotate.services.loop import EVALUATION_SEEDS
from annotate.services.rounds import RoundError
from annotate.services.runs import queue_evaluation


class Command(LoopCommand):
    help = "Compare a round's tuned model with its parent on held-out people."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_round_argument(parser)
        parser.add_argument("--wait", action="store_true", help="show progress and return when it ends")

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        tuned = queries.done_run(round, Stage.DPO)
        if tuned is None:
            raise RoundError(f"{round} has no tuned model yet; advance it to Flow-DPO first")
        run = queue_evaluation(round, tuned.model_version, seeds=EVALUATION_SEEDS)
        send_and_maybe_wait(run, options)
        run.refresh_from_db()
        tracks = {name: run.result[name] for name in ("identity", "controllability")} if run.result else {}
        return {"round": round.name, "run": str(run), "status": run.status, **tracks}
