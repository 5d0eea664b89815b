from __future__ import annotations

from typing import Any

from annotate.management.loop_command import LoopCommand, argument, chosen_round
from annotate.models import RoundState
from annotate.rounds.rounds import set_round_state


class Command(LoopCommand):
    help = (
        "Open, pause or close a round. One that is paused or closed gives out no pairs; its votes stay, and "
        "pairs that people hold may still be answered. A closed round no longer waits for votes."
    )
    arguments = (
        argument("round", help="the round's name or number"),
        argument("state", choices=RoundState.values),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        changed = set_round_state(round, RoundState(options["state"]))
        return {"round": round.name, "state": round.state, "changed": changed}
