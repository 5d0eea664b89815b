"""Models are measured on somebody."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from annotate.evaluation.comparisons import start_comparison
from annotate.evaluation.evaluations import queue_table
from annotate.evaluation.inputs import benchmark_set, held_out_people
from annotate.evaluation.version_comparisons import compare_versions
from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.models import IdentityGroup, Instance, Split, Use
from annotate.training.dpo import queue_dpo
from tests.annotate.privacy.consent.entry_points import Change, EntryPoints, dominant_round, refused
from tests.factories import make_group, make_instance, make_model, make_reference, make_round
from tests.runs import run

ENTRY_POINTS = EntryPoints()


def held_out_instance() -> Instance:
    return make_instance(make_group(split=Split.EVAL), num_references=2)


@ENTRY_POINTS.needs(Use.EVALUATE)
def evaluation(change: Change, folder: Path) -> Any:
    change(held_out_instance().group)
    return queue_table(make_round(), held_out_people([0])).run


@ENTRY_POINTS.needs(Use.EVALUATE)
def evaluation_that_waits(change: Change, folder: Path) -> Any:
    instance = held_out_instance()
    queued = queue_table(make_round(), held_out_people([0])).run
    change(instance.group)
    return not refused(queued)


@ENTRY_POINTS.needs(Use.EVALUATE)
def version_comparison(change: Change, folder: Path) -> Any:
    instance, model = held_out_instance(), make_model()
    make_round(policy=model)
    change(instance.group)
    return compare_versions(make_model(), model, [instance], num_seeds=1)


@ENTRY_POINTS.needs(Use.SHOW, Use.EVALUATE)
def comparison_by_people(change: Change, folder: Path) -> Any:
    round = dominant_round(make_group())
    finished = runs.claim_run(queue_dpo(round, export_round(round)).pk, worker := uuid4())
    runs.run_dir(finished).write_result({"adapter": "a", "adapter_sha256": "a" * 64, "num_pairs": 1})
    assert runs.finish_run(finished, worker)
    change(held_out_instance().group)
    finished.refresh_from_db()
    return start_comparison(finished.model_version)


def a_set_of(person: IdentityGroup, folder: Path) -> Path:
    make_reference(person)
    (folder / "prompts.txt").write_text("The person waves.\n\nThe person nods, still in [the same hat].\n")
    options = ["--identities", 1, "--prompts", 1, 1, "--references", 1, "--split", "eval"]
    run("make_benchmark", folder / "set", "--prompts-file", folder / "prompts.txt", *options)
    return folder / "set"


@ENTRY_POINTS.needs(Use.EVALUATE, Use.PUBLISH)
def benchmark_is_made(change: Change, folder: Path) -> Any:
    change(person := make_group(split=Split.EVAL))
    return a_set_of(person, folder).exists()


@ENTRY_POINTS.needs(Use.EVALUATE)
def benchmark_is_evaluated_on(change: Change, folder: Path) -> Any:
    place = a_set_of(person := make_group(split=Split.EVAL), folder)
    change(person)
    return queue_table(make_round(), benchmark_set(place)).run


@ENTRY_POINTS.needs(Use.EVALUATE)
def evaluation_on_a_benchmark_that_waits(change: Change, folder: Path) -> Any:
    place = a_set_of(person := make_group(split=Split.EVAL), folder)
    queued = queue_table(make_round(), benchmark_set(place)).run
    change(person)
    return not refused(queued)
