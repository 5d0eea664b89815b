from __future__ import annotations

from typing import Any

from annotate.gold.gold import ITEMS, make_gold
from annotate.management.loop_command import ROUND, LoopCommand, argument, chosen_round


class Command(LoopCommand):
    help = "Make pairs whose answer is known from the videos of a round; again adds only what is missing."
    arguments = (
        ROUND,
        argument("--items", type=int, default=ITEMS, help=f"of each kind (default {ITEMS})"),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        if options["items"] < 1:
            raise ValueError(f"--items is {options['items']}; it must be at least 1")
        round = chosen_round(options)
        return {"round": round.name, "new": make_gold(round, items=options["items"])}
