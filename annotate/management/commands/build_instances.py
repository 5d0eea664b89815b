from __future__ import annotations

from dataclasses import asdict
from typing import Any

from annotate.management.loop_command import SOURCE, SPLIT, LoopCommand, argument, send_run, switch
from annotate.people.instances import build_instances
from annotate.prompts.prompt_runs import queue_prompts
from generator.instances import Draw


class Command(LoopCommand):
    help = "Draw instances: references of one person in order, and a differential prompt. Repeatable by seed."
    arguments = (
        SPLIT,
        SOURCE,
        argument("--per-identity", type=int, default=4, help="instances per person (default 4)"),
        argument(
            "--references",
            type=int,
            help="references of an instance, the primary included, 1 to 5; fewer where a person has fewer "
            "(default: drawn, too)",
        ),
        switch("--with-targets", "with clips to learn, where there are any"),
        switch("--augment", "show crops of curated references: faces, half-body portraits, shorter clips"),
        argument("--seed", type=int, default=0),
        switch(
            "--ask-models",
            "with clips to learn, whose prompts the models of PROMPT_MODELS write on a gpu worker",
        ),
        switch("--wait", "with --ask-models: return when it ends"),
    )

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
        send_run(run, wait=options["wait"], quiet=options["json"])
        return {
            "run": str(run) if run else "nothing to ask",
            "asked": report.new_instances,
            "known": report.instances,
            "left_out": report.left_out,
            "references_not_cut": report.references_not_cut,
        }
