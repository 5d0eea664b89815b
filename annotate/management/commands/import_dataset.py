from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from annotate.management.loop_command import LoopCommand, argument
from annotate.people.dataset_import import import_dataset


class Command(LoopCommand):
    help = "Read a dataset that export_dataset wrote. Running twice adds nothing; what is damaged is listed."
    arguments = (argument("folder", type=Path),)

    def run(self, **options: Any) -> dict[str, Any]:
        with tqdm(desc="  import", unit="row", disable=options["json"]) as bar:
            report = import_dataset(options["folder"], on_row=bar.update)
        return {
            "content_hash": report.content_hash,
            "new": dict(report.new),
            "known": dict(report.known),
            "people_without_consent": report.refused,
            "left_out": [f"{item.path}: {item.reason}: {item.detail}" for item in report.left_out],
            "prompts_not_read_whole": report.not_read,
        }
