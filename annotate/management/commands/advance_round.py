from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate.loop.loop import advance_round
from annotate.management.loop_command import (
    LoopCommand,
    add_round_argument,
    chosen_round,
    send_and_maybe_wait,
)


class Command(LoopCommand):
    help = "Take the next step of a round, or say what it waits for."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_round_argument(parser)
        parser.add_argument(
            "--include-simulated", action="store_true", help="let simulated votes into the export"
        )
        parser.add_argument("--wait", action="store_true", help="show progress and return when the step ends")

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        step = advance_round(round, include_simulated=options["include_simulated"])
        send_and_maybe_wait(step.run, options)
        return {"round": round.name, "says": step.message, "run": str(step.run) if step.run else None}
