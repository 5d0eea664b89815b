from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from annotate.management.loop_command import LoopCommand, argument, curate_with_bar, read_consent
from annotate.models import Split, Use
from annotate.people.identities import import_people
from annotate.privacy.consent_queries import Consent, sentence


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
        report = import_people(
            options["folder"],
            consent=read_consent(options["consent"]),
            source=options["source"] or options["folder"].resolve().name,
            licence=options["licence"],
            split=options["split"],
            follow=lambda people: tqdm(people, desc="  import", unit="person", disable=options["json"]),
        )
        outcome = curate_with_bar(report.people, quiet=options["json"])
        return {
            "people": report.num_people,
            "new_references": report.num_new,
            "known_references": report.num_known,
            "kept": outcome["kept"],
            "left_out": dict(Counter(str(item.reason) for item in report.rejected) + outcome["reasons"]),
            "failed": outcome["failed"],
            "consent_unknown": sentence(Consent.UNKNOWN, report.without_consent) or "of nobody",
            "rejected": [f"{item.path}: {item.reason}: {item.detail}" for item in report.rejected]
            + outcome["rejected"],
        }
