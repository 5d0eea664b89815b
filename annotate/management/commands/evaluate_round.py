from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.evaluation.evaluations import (
    ABLATION_SEEDS,
    EVALUATION_SEEDS,
    evaluate_version,
    queue_table,
    tuned_in,
)
from annotate.evaluation.inputs import benchmark_set, held_out_people
from annotate.management.loop_command import (
    ROUND,
    WAIT,
    LoopCommand,
    argument,
    chosen_model,
    chosen_round,
    send_run,
    switch,
)
from annotate.models import Round
from rlhf.evaluation.stored import in_current_keys
from rlhf.evaluation.text import ablation_lines, direction_lines, table_lines
from rlhf.records import Track


class Command(LoopCommand):
    help = (
        "Compare a round's tuned model, or any version, with its parent, with parts of it left out, or with "
        "other models. Missing votes do not matter."
    )
    arguments = (
        ROUND,
        WAIT,
        argument("--model", metavar="NAME", help="a model version, instead of what a round has tuned"),
        switch(
            "--ablations", "wait for the paper's ablation table in miniature: each part of the model left out"
        ),
        argument("--set", type=Path, help="a benchmark set instead of the held-out people"),
        argument(
            "--videos",
            action="append",
            default=[],
            metavar="NAME=DIR",
            help="another model's videos as a further row; may be given again",
        ),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        makes_table = options["ablations"] or options["set"] or options["videos"]
        if options["model"] and (makes_table or options["round"]):
            raise ValueError("--model goes with no other choice of what to evaluate; leave the others out")
        if makes_table:
            return _table(chosen_round(options), options)
        return _compare(options)


def _compare(options: dict[str, Any]) -> dict[str, Any]:
    model = chosen_model(options["model"])
    run = evaluate_version(model or tuned_in(chosen_round(options)))
    send_run(run, wait=options["wait"], quiet=options["json"])
    run.refresh_from_db()
    result = run.result or {}
    tracks = {str(track): result[str(track)] for track in Track if str(track) in result}
    assert run.round is not None, "an evaluation belongs to a round"
    return {"round": run.round.name, "run": str(run), "status": run.status, **tracks}


def _table(round: Round, options: dict[str, Any]) -> dict[str, Any]:
    with_ablations = options["ablations"]
    seeds = ABLATION_SEEDS if with_ablations else EVALUATION_SEEDS
    inputs = benchmark_set(options["set"]) if options["set"] else held_out_people(seeds)
    queued = queue_table(round, inputs, with_ablations=with_ablations, entries=_entries(options["videos"]))
    send_run(queued.run, wait=options["wait"] or with_ablations, quiet=options["json"])
    queued.run.refresh_from_db()
    told = {"round": round.name, "run": str(queued.run), "status": queued.run.status}
    if queued.run.result is None:
        return told | {"left_out": queued.left_out}
    result = in_current_keys(queued.run.result)
    if options["json"]:
        names = ("set", "systems", "columns", "table", "differences", "directions", "holes", "seconds")
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
    if bad := [text for text, (name, _, folder) in zip(given, pairs, strict=True) if not (name and folder)]:
        raise ValueError(f"--videos {bad[0]!r} is no name and folder; write it like consisid=videos/consisid")
    return {name: Path(folder) for name, _, folder in pairs}
