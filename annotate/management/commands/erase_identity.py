from __future__ import annotations

from typing import Any

from annotate.management.loop_command import LoopCommand, argument, switch
from annotate.privacy.erasure import erase_identity


class Command(LoopCommand):
    help = (
        "Erase a person: media, instances, videos, pairs, votes, and the files of every export they are in."
    )
    arguments = (
        argument("name"),
        argument("--source", help="where the person was imported from, when two share the name"),
        switch("--yes", "really erase; without it, only counts are shown"),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        return erase_identity(options["name"], source=options["source"], really=options["yes"])
