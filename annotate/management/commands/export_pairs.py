from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.exports.freezing import export_round
from annotate.management.loop_command import ROUND, LoopCommand, argument, chosen_round, switch
from annotate.rounds.rounds import refuse_comparison
from annotate.storage.opening import site_storage
from rlhf.export.formats import ExportFormat, write_format
from rlhf.export.rule import ExportRule


class Command(LoopCommand):
    help = "Freeze a round's pairs, Pareto-dominant ones by default; the same set gives the same bytes."
    arguments = (
        ROUND,
        argument(
            "--rule",
            choices=[str(rule) for rule in ExportRule],
            default=str(ExportRule.PARETO),
            help="what makes a video the chosen one: better on both tracks (pareto, the default), one "
            "track's verdict, or the votes of both tracks in one heap (pooled)",
        ),
        switch("--include-simulated", "let simulated votes in as well"),
        switch("--publish", "only people who agreed to be published, too, so that the set may be handed out"),
        argument(
            "--format",
            choices=[str(name) for name in ExportFormat],
            help="write the set into --out as well, as this trainer reads it; implies --publish",
        ),
        argument("--out", type=Path, help="folder to make for --format"),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        if bool(options["format"]) != bool(options["out"]):
            raise ValueError("--format and --out go together: give both, or neither")
        round = chosen_round(options)
        refuse_comparison(round)
        export = export_round(
            round,
            rule=ExportRule(options["rule"]),
            include_simulated=options["include_simulated"],
            # What lies elsewhere is out of erasure's reach.
            is_published=options["publish"] or options["out"] is not None,
        )
        storage = site_storage()
        if options["format"]:
            with storage.local_folder(export.folder) as folder:
                write_format(folder, options["out"], ExportFormat(options["format"]))
        return {
            "export": str(export),
            "rule": export.rule,
            "folder": storage.shown(export.folder),
            "content_hash": export.content_hash,
            "pairs": export.num_pairs,
            "joint_states": export.manifest["joint_states"],
            "left_out": export.manifest["reasons"],
            **({"written": str(options["out"])} if options["format"] else {}),
        }
