from __future__ import annotations

from typing import Any

from annotate.management.loop_command import LoopCommand, argument, chosen_round
from annotate.rounds.rounds import let_choose


class Command(LoopCommand):
    help = "Let annotators ask for a round by its number, or, with --not, be given what comes next."
    arguments = (
        argument("round", help="the round's name or number"),
        argument("--not", action="store_false", dest="may_be_chosen", help="they may not any more"),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        round, may_be_chosen = chosen_round(options), options["may_be_chosen"]
        changed = let_choose(round, may_be_chosen)
        return {"round": round.name, "may_be_chosen": may_be_chosen, "changed": changed}
