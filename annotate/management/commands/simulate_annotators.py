from __future__ import annotations

from typing import Any

from annotate.management.loop_command import ROUND, LoopCommand, argument, chosen_round
from annotate.rounds.simulation import SimulatedVoter, simulate_round


class Command(LoopCommand):
    help = "Let simulated annotators judge a synthetic round over HTTP; their votes are marked for ever."
    arguments = (
        ROUND,
        argument("--annotators", type=int, default=8),
        argument("--accuracy", type=float, default=0.85, help="share of true answers (default 0.85)"),
        argument("--tie-rate", type=float, default=0.05, help="share of ties (default 0.05)"),
        argument("--side-bias", type=float, default=0.05, help="share of blind left answers (default 0.05)"),
        argument("--seed", type=int, default=0),
        argument("--url", default="http://127.0.0.1:8000", help="the running site"),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        voter = SimulatedVoter(options["accuracy"], options["tie_rate"], options["side_bias"])
        round = chosen_round(options)
        return simulate_round(
            round, voter, count=options["annotators"], seed=options["seed"], url=options["url"]
        )
