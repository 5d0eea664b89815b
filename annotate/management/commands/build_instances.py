from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.loop_command import LoopCommand, send_and_maybe_wait
from annotate.models import Split
from annotate.people.instances import build_instances
from annotate.prompts.prompt_runs import queue_prompts
from generator.instances import Draw


class Command(LoopCommand):
    help = "Draw instances: references of one person in order, and a differential prompt. Repeatable by seed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--split", choices=Split.values, help="only people of this split")
        parser.add_argument("--source", help="only people of this source")
        parser.add_argument("--per-identity", type=int, default=4, help="instances a person (default 4)")
        parser.add_argument(
            "--references",
            type=int,
            help="references of an instance, the primary included, 1 to 5; fewer where a person has fewer "
            "(default: drawn, too)",
        )
        parser.add_argument(
            "--with-targets", action="store_true", help="with clips to learn, where there are any"
        )
        parser.add_argument(
            "--augment",
            action="store_true",
            help="show crops of curated references: face images, half-body portraits, shorter clips",
        )
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--ask-models",
            action="store_true",
            help="with clips to learn, whose prompts the models of PROMPT_MODELS write on a gpu worker",
        )
        parser.add_argument("--wait", action="store_true", help="with --ask-models: return when it ends")

    def run(self, **options: Any) -> dict[str, Any]:
        if options["per_identity"] < 1:
            raise ValueError(f"--per-identity is {options['per_identity']}; it must be at least 1")
        draw = Draw(
            count=options["per_identity"],
            seed=options["seed"],
            num_references=options["references"],
            with_target=options["with_targets"],
            is_cropped=options["augment"],
        )
        if not options["ask_models"]:
            return asdict(build_instances(draw, split=options["split"], source=options["source"]))
        run, report = queue_prompts(draw, split=options["split"], source=options["source"])
        send_and_maybe_wait(run, options)
        return {
            "run": str(run) if run else "nothing to ask",
            "asked": report.new_instances,
            "known": report.instances,
            "left_out": report.left_out,
            "references_not_cut": report.references_not_cut,
        }
