from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.loop_command import LoopCommand
from annotate.models import Split
from annotate.services.datasets import export_dataset


class Command(LoopCommand):
    help = "Write people, references and instances as a dataset; equal data give equal bytes."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--split", choices=Split.values, help="only people of this split")
        parser.add_argument("--source", help="only people of this source")

    def run(self, **options: Any) -> dict[str, Any]:
        folder = options["folder"]
        manifest = export_dataset(folder, split=options["split"], source=options["source"])
        return {"folder": str(folder), **asdict(manifest)}
