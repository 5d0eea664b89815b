from __future__ import annotations

from typing import Any

from annotate.management.loop_command import LoopCommand, switch
from annotate.tallies import recount


class Command(LoopCommand):
    help = (
        "Count everything anew that pages show as counts, and correct what the database keeps of it. Only "
        "rows that were written past its triggers make a difference, such as those of a restored dump."
    )
    arguments = (switch("--check", "correct nothing; only say what differs"),)

    def run(self, **options: Any) -> dict[str, Any]:
        found = recount.differences()
        corrected = 0 if options["check"] else recount.correct()
        return {"wrong": [str(difference) for difference in found], "corrected": corrected}
