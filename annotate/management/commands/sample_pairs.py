from __future__ import annotations

from typing import Any

from annotate.management.loop_command import ROUND, WAIT, LoopCommand, chosen_round, send_run
from annotate.privacy.consent_queries import people_of, refusal, uses_of
from annotate.rounds.funnel_queries import round_funnel
from annotate.rounds.sampling import queue_sampling


class Command(LoopCommand):
    help = "Queue the videos of a round that are not made yet on the gpu workers."
    arguments = (ROUND, WAIT)

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        run = queue_sampling(round, retry_failed=True)
        send_run(run, wait=options["wait"], quiet=options["json"])
        funnel = round_funnel(round)
        return {
            "round": round.name,
            "run": str(run) if run else "nothing to make",
            "samples": funnel.samples,
            "samples_wanted": funnel.samples_wanted,
            "failed": funnel.samples_failed,
            "left_out": refusal(people_of(round), *uses_of(round)) or "nobody",
        }
