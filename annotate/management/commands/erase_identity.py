from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.loop_command import LoopCommand
from annotate.privacy.erasure import erase_identity


class Command(LoopCommand):
    help = (
        "Erase a person: media, instances, videos, pairs, votes, and the files of every export they are in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--source", help="where the person was imported from, when two share the name")
        parser.add_argument(
            "--yes", action="store_true", help="really erase; without it, only counts are shown"
        )

    def run(self, **options: Any) -> dict[str, Any]:
        return erase_identity(options["name"], source=options["source"], really=options["yes"])
