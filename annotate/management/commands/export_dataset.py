from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.loop_command import LoopCommand
from annotate.models import Split, Use
from annotate.people.datasets import export_dataset


class Command(LoopCommand):
    help = "Write people, references and instances as a dataset; equal data give equal bytes."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--split", choices=Split.values, help="only people of this split")
        parser.add_argument("--source", help="only people of this source")
        parser.add_argument(
            "--use",
            choices=[Use.PUBLISH, Use.TRAIN],
            default=Use.PUBLISH,
            help="what people must have agreed to: publish for a set to be handed out (the default), "
            "or train for one that only this site's own training reads",
        )

    def run(self, **options: Any) -> dict[str, Any]:
        folder = options["folder"]
        manifest = export_dataset(
            folder, split=options["split"], source=options["source"], use=Use(options["use"])
        )
        return {"folder": str(folder), **asdict(manifest)}
