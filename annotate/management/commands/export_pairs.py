from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from annotate.management.loop_command import LoopCommand, add_round_argument, chosen_round
from annotate.services.preferences import export_round
from annotate.services.rounds import refuse_comparison
from rlhf.export_rule import ExportRule


class Command(LoopCommand):
    help = "Freeze a round's pairs, Pareto-dominant ones by default; the same set gives the same bytes."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_round_argument(parser)
        parser.add_argument(
            "--rule",
            choices=[str(rule) for rule in ExportRule],
            default=str(ExportRule.PARETO),
            help="what makes a video the chosen one: better on both tracks (pareto, the default), one "
            "track's verdict, or the votes of both tracks in one heap (pooled)",
        )
        parser.add_argument("--include-simulated", action="store_true", help="let simulated votes in as well")

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        refuse_comparison(round)
        export = export_round(
            round,
            rule=ExportRule(options["rule"]),
            include_simulated=options["include_simulated"],
        )
        return {
            "export": str(export),
            "rule": export.rule,
            "folder": str(settings.STORAGE_ROOT / export.folder),
            "content_hash": export.content_hash,
            "pairs": export.num_pairs,
            "joint_states": export.manifest["joint_states"],
        }
