from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.evaluation.benchmarks import make_benchmark
from annotate.management.loop_command import LoopCommand, argument, switch
from annotate.models import Split
from rlhf.evaluation.benchmark.plan import add_plan_arguments, read_plan


class Command(LoopCommand):
    help = "Write curated people and prompts as a benchmark set; equal people and prompts give equal sets."
    arguments = (
        argument("folder", type=Path),
        add_plan_arguments,
        argument(
            "--split", choices=[Split.BENCHMARK, Split.EVAL], default=Split.BENCHMARK, help="of the people"
        ),
        switch("--ask-models", "a language model of PROMPT_MODELS writes the prompts"),
        argument(
            "--prompts-file",
            type=Path,
            help="text, one prompt a line; what must stay as the primary shows it stands in [brackets]",
        ),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        folder, prompts_file = options["folder"], options["prompts_file"]
        if options["ask_models"] == (prompts_file is not None):
            raise ValueError(
                "say where the prompts come from: --prompts-file FILE, or --ask-models, where PROMPT_MODELS "
                "names who writes them"
            )
        plan = read_plan(options)
        made = make_benchmark(folder, plan, split=options["split"], prompts_file=prompts_file)
        card = made.benchmark.card
        return {
            "folder": str(folder),
            **made.benchmark.identity,
            "instances": card.num_instances,
            "identities": card.num_identities,
            "licence": card.licence,
            "new": made.is_new,
            "left_out": dict(made.left_out),
            "prompts_not_read_whole": list(made.not_read),
        }
