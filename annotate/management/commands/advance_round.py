from __future__ import annotations

from typing import Any

from annotate.loop.loop import advance_round
from annotate.management.loop_command import (
    ROUND,
    WAIT,
    LoopCommand,
    argument,
    chosen_round,
    send_run,
    switch,
)


class Command(LoopCommand):
    help = "Take the next step of a round, or say what it waits for."
    arguments = (
        ROUND,
        switch("--include-simulated", "let simulated votes into the export"),
        argument("--devices", type=int, help="of one worker, over which a training is spread"),
        WAIT,
    )

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        step = advance_round(
            round, include_simulated=options["include_simulated"], devices=options["devices"]
        )
        send_run(step.run, wait=options["wait"], quiet=options["json"])
        return {"round": round.name, "says": step.message, "run": str(step.run) if step.run else None}
