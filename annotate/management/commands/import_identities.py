from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from annotate.management.loop_command import LoopCommand
from annotate.models import Split
from annotate.services.identities import import_people


class Command(LoopCommand):
    help = "Import people: one sub-folder a person, any mix of photos and clips. Running twice adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--source", help="where the media come from (default: the folder's name)")
        parser.add_argument("--licence", default="", help="licence of media whose folder does not state one")
        parser.add_argument("--split", default=Split.TRAIN, choices=Split.values)

    def run(self, **options: Any) -> dict[str, Any]:
        report = import_people(
            options["folder"],
            source=options["source"] or options["folder"].resolve().name,
            licence=options["licence"],
            split=options["split"],
            follow=lambda people: tqdm(people, desc="  import", unit="person", disable=options["json"]),
        )
        return {
            "people": report.num_people,
            "new_references": report.num_new,
            "known_references": report.num_known,
            "rejected": [f"{item.path}: {item.reason}: {item.detail}" for item in report.rejected],
        }
