from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate.core.errors import RoundError
from annotate.management.loop_command import LoopCommand
from annotate.rounds import queries
from annotate.rounds.rounds import let_choose


class Command(LoopCommand):
    help = "Let annotators ask for a round by its number, or, with --not, be given what comes next."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("round", help="name of the round")
        parser.add_argument("--not", action="store_true", dest="is_closed", help="they may not any more")

    def run(self, **options: Any) -> dict[str, Any]:
        round = queries.find_round(options["round"])
        if round is None:
            raise RoundError(f"no round {options['round']!r}; see the rounds page for the names")
        changed = let_choose(round, not options["is_closed"])
        return {"round": round.name, "may_be_chosen": not options["is_closed"], "changed": changed}
