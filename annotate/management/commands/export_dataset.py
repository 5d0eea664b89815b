from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from annotate.management.loop_command import SOURCE, SPLIT, LoopCommand, argument
from annotate.models import Use
from annotate.people.datasets import export_dataset


class Command(LoopCommand):
    help = "Write people, references and instances as a dataset; equal data give equal bytes."
    arguments = (
        argument("folder", type=Path),
        SPLIT,
        SOURCE,
        argument(
            "--use",
            choices=[Use.PUBLISH, Use.TRAIN],
            default=Use.PUBLISH,
            help="what people must have agreed to: publish for a set to be handed out (the default), "
            "or train for one that only this site's own training reads",
        ),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        folder = options["folder"]
        manifest = export_dataset(
            folder, split=options["split"], source=options["source"], use=Use(options["use"])
        )
        return {"folder": str(folder), **asdict(manifest)}
