"""Models learn from somebody's media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings as site

from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.loop.loop import advance_round
from annotate.models import RunStatus, Use
from annotate.training.approvals import approve_run
from annotate.training.dpo import queue_dpo
from annotate.training.preview import dry_run
from annotate.training.queries import Looked, pair_set
from rlhf.records import Track, Verdict
from tests.annotate.conftest import machine_of
from tests.annotate.jobs_done import do_jobs
from tests.annotate.privacy.consent.entry_points import Change, EntryPoints, dominant_round, refused
from tests.factories import make_group, make_instance, make_pair, make_user
from tests.runs import run
from tests.votes import vote

ENTRY_POINTS = EntryPoints()


@ENTRY_POINTS.needs(Use.TRAIN)
def export(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return export_round(round).num_pairs


@ENTRY_POINTS.needs(Use.TRAIN)
def export_beside_others(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    other = make_pair(round, make_instance(num_references=1))
    for track in Track:
        vote(other, track, Verdict.FIRST)
    change(person)
    exported = (site.STORAGE_ROOT / export_round(round).folder / "pairs.jsonl").read_text()
    assert other.instance.group.pseudonym in exported
    return person.pseudonym in exported


@ENTRY_POINTS.needs(Use.TRAIN)
def launch(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    frozen = export_round(round)
    change(person)
    sets = [pair_set(round, of, include_simulated=False) for of in (None, frozen)]
    looks = [dry_run(round, Looked.at(round, chosen), {}) for chosen in sets]
    assert looks[0].blocks == looks[1].blocks
    return not looks[0].blocks


@ENTRY_POINTS.needs(Use.TRAIN)
def training(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    frozen = export_round(round)
    change(person)
    return queue_dpo(round, frozen)


@ENTRY_POINTS.needs(Use.TRAIN)
def training_that_waits(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    queued = queue_dpo(round, export_round(round))
    change(person)
    return not refused(queued)


@ENTRY_POINTS.needs(Use.TRAIN)
def approval(change: Change, folder: Path) -> Any:
    site.APPROVE_ROUNDS = True
    round = dominant_round(person := make_group())
    waiting = queue_dpo(round, export_round(round), make_user(role="lead"))
    change(person)
    approve_run(waiting, make_user(role="lead"))
    return waiting.status == RunStatus.QUEUED


@ENTRY_POINTS.needs(Use.TRAIN)
def advance(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return advance_round(round).run


@ENTRY_POINTS.needs(Use.TRAIN)
def advance_by_the_api(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    machine_of(make_user(role="lead")).post(f"/api/rounds/{round.pk}/advance/")
    job = do_jobs()
    if job.error:
        raise RoundError(job.error)
    return job.result["run"]


@ENTRY_POINTS.needs(Use.TRAIN)
def advance_by_the_command(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return run("advance_round", "--round", round.name)["run"]
