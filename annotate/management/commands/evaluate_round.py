from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from annotate import queries
from annotate.management.loop_command import (
    LoopCommand,
    add_round_argument,
    chosen_round,
    send_and_maybe_wait,
)
from annotate.models import Round, Stage
from annotate.services.evaluation_inputs import benchmark_set, held_out_people
from annotate.services.evaluations import ABLATION_SEEDS, EVALUATION_SEEDS, queue_evaluation, queue_table
from annotate.services.rounds import RoundError
from rlhf.evaluation.text import ablation_lines, direction_lines, table_lines
from rlhf.records import Track


class Command(LoopCommand):
    help = "Compare a round's tuned model with its parent, with parts of it left out, or with other models."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_round_argument(parser)
        parser.add_argument("--wait", action="store_true", help="show progress and return when it ends")
        parser.add_argument(
            "--ablations",
            action="store_true",
            help="wait for the paper's ablation table in miniature: each part of the model left out",
        )
        parser.add_argument("--set", type=Path, help="a benchmark set instead of the held-out people")
        parser.add_argument(
            "--videos",
            action="append",
            default=[],
            metavar="NAME=DIR",
            help="another model's videos as a further row; may be given again",
        )

    def run(self, **options: Any) -> dict[str, Any]:
        round = chosen_round(options)
        if options["ablations"] or options["set"] or options["videos"]:
            return _table(round, options)
        return _compare(round, options)


def _compare(round: Round, options: dict[str, Any]) -> dict[str, Any]:
    tuned = queries.done_run(round, Stage.DPO)
    if tuned is None:
        raise RoundError(f"{round} has no tuned model yet; advance it to Flow-DPO first")
    run = queue_evaluation(round, tuned.model_version, seeds=EVALUATION_SEEDS)
    send_and_maybe_wait(run, options)
    run.refresh_from_db()
    found = run.result or {}
    tracks = {str(track): found[str(track)] for track in Track if str(track) in found}
    return {"round": round.name, "run": str(run), "status": run.status, **tracks}


def _table(round: Round, options: dict[str, Any]) -> dict[str, Any]:
    with_ablations = options["ablations"]
    seeds = ABLATION_SEEDS if with_ablations else EVALUATION_SEEDS
    inputs = benchmark_set(options["set"]) if options["set"] else held_out_people(seeds)
    queued = queue_table(round, inputs, with_ablations=with_ablations, entries=_entries(options["videos"]))
    send_and_maybe_wait(queued.run, options | {"wait": options["wait"] or with_ablations})
    queued.run.refresh_from_db()
    told = {"round": round.name, "run": str(queued.run), "status": queued.run.status}
    result = queued.run.result
    if result is None:
        return told | {"left_out": queued.left_out}
    if options["json"]:
        names = ("set", "arms", "columns", "table", "differences", "directions", "holes", "seconds")
        return told | {"left_out": queued.left_out} | {name: result[name] for name in names}
    lines = {"table": ablation_lines(result), "the_paper's_directions": direction_lines(result)}
    return {
        **told,
        **(lines if with_ablations else {"table": table_lines(result)}),
        "left_out": queued.left_out,
        "holes": len(result["holes"]),
        "seconds": result["seconds"],
    }


def _entries(given: list[str]) -> dict[str, Path]:
    pairs = [text.partition("=") for text in given]
    if bad := [text for text, (name, _, place) in zip(given, pairs, strict=True) if not (name and place)]:
        raise ValueError(f"--videos {bad[0]!r} is no name and folder; write it like consisid=videos/consisid")
    return {name: Path(place) for name, _, place in pairs}
