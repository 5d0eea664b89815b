from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.management.loop_command import LoopCommand, argument, import_folder, read_consent
from annotate.models import Split, Use


class Command(LoopCommand):
    help = (
        "Import and curate people: one sub-folder a person, any mix of photos and clips. "
        "Stopped, it goes on where it was; running twice adds nothing."
    )
    arguments = (
        argument("folder", type=Path),
        argument("--source", help="where the media come from (default: the folder's name)"),
        argument("--licence", default="", help="licence of media whose folder does not state one"),
        argument("--split", default=Split.TRAIN, choices=Split.values),
        argument(
            "--consent",
            metavar="USES",
            help=f"what people agreed to whose folder does not state it: {','.join(Use.values)}, or none; "
            "without it nothing is done with them until somebody states it",
        ),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        return import_folder(
            options["folder"],
            consent=read_consent(options["consent"]),
            source=options["source"] or options["folder"].resolve().name,
            licence=options["licence"],
            split=options["split"],
            quiet=options["json"],
        )
