"""Celery: fetch by id, call one service or launch one command, record the end."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from uuid import UUID, uuid4

from celery import current_app, shared_task
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError

from annotate.database.patience import patiently
from annotate.evaluation import comparisons
from annotate.jobs import run_logs, runs
from annotate.judging import vote_fits as statistics
from annotate.models import Round, Run, RunStatus, Stage
from annotate.people import curation
from annotate.privacy import consent, file_removal
from annotate.rounds import display_copies, prompt_limits

logger = logging.getLogger(__name__)

#: The command of each stage: the same one that a researcher types.
COMMANDS = {
    Stage.PROMPTS: "generator.prompts",
    Stage.SAMPLE: "generator.sample",
    Stage.DPO: "rlhf.dpo",
    Stage.EVALUATE: "rlhf.evaluate",
}
#: How often a run is renewed, followed, and asked whether it was cancelled.
POLL_S = 0.5
#: Display copies that one task writes, and how long at most it is taken to be at it.
COPIES_A_TIME, COPYING_S = 100, 900
#: How long a cancelled command may take to end by itself.
TERMINATE_S = 20


@shared_task
def execute_run(run_id: int) -> None:
    """Run one stage's command in its folder; a second delivery of the same id does nothing."""
    prompt_limits.learn_limits()  # whoever runs models has their tokenizers, which the web may not see
    worker = uuid4()
    run = runs.claim_run(run_id, worker)
    if run is None:
        return
    if why := consent.why_not_now(run, runs.run_dir(run)):
        runs.end_run(run, worker, RunStatus.FAILED, why)
        return
    with open(runs.run_dir(run).path / run_logs.LOG, "ab") as log:
        # The command ends by itself when this pipe closes, so it never outlives a killed worker.
        child = subprocess.Popen(
            [sys.executable, "-m", COMMANDS[Stage(run.stage)], str(runs.run_dir(run).path), "--attached"],
            cwd=settings.BASE_DIR,
            env=settings.RUN_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            status = _watch(run, worker, child)
        except SystemExit:  # the worker is being stopped
            _end(child)
            runs.let_go(run, worker)
            raise
        finally:
            _end(child)
    if status is not None:
        patiently(lambda: _record_end(run, worker, status, child.returncode))


def _record_end(run: Run, worker: UUID, status: RunStatus, returncode: int) -> None:
    if status is RunStatus.CANCELLED:
        runs.end_run(run, worker, RunStatus.CANCELLED)
    elif returncode == 0:
        if runs.finish_run(run, worker):
            send_run(comparisons.queue_other_model(run))
    else:
        runs.end_run(run, worker, RunStatus.FAILED, run_logs.why_it_ended(run, returncode))


def _watch(run: Run, worker: UUID, child: subprocess.Popen[bytes]) -> RunStatus | None:
    """Follow the command until it ends, is cancelled, or is no longer this worker's (None).

    A database that is away does not stop it: the command knows only its folder. After some minutes without
    one it is ended all the same, and the run is found by its heartbeat.
    """
    while True:
        ended = child.poll() is not None
        status = patiently(lambda: _follow(run, worker))
        if status is None:
            logger.warning("%s was taken over by another worker", run)
            return None
        if ended:
            return (
                RunStatus.CANCELLED if status is RunStatus.CANCELLING and child.returncode else RunStatus.DONE
            )
        if status is RunStatus.CANCELLING:
            return RunStatus.CANCELLED
        time.sleep(POLL_S)


def _follow(run: Run, worker: UUID) -> RunStatus | None:
    runs.follow_run(run)
    return runs.renew_run(run, worker)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin:
        child.stdin.close()


def send_run(run: Run | None) -> None:
    """Hand a queued run to a worker once the transaction that queued it has ended.

    Without a broker it stays queued: `requeue_lost_runs` sends it when there is one again.
    """
    if run is not None and run.status == RunStatus.QUEUED:
        try:
            execute_run.delay_on_commit(run.pk)  # type: ignore[attr-defined]
        except OperationalError as error:
            logger.warning("%s is queued, but the broker cannot be reached: %s", run, error)


def has_worker() -> bool:
    """Whether somebody takes runs from the queue; one that is too busy to answer counts as nobody."""
    queue = settings.CELERY_TASK_ROUTES[execute_run.name]["queue"]
    try:
        found = current_app.control.inspect(timeout=2.0).active_queues() or {}
    except OperationalError:
        return False
    return any(one["name"] == queue for queues in found.values() for one in queues)


@shared_task
def requeue_lost_runs() -> None:
    prompt_limits.learn_limits()
    for run_id in runs.requeue_lost_runs():
        execute_run.delay(run_id)


@shared_task
def fit_votes() -> None:
    """Learn from the votes of every open round that stops by probability."""
    for round in Round.objects.filter(is_open=True, stopping__isnull=False).order_by("id"):
        statistics.fit_round(round)


@shared_task
def write_display_copies() -> None:
    """Give videos of earlier versions the copies that people are shown, one worker at a time."""
    if cache.add("write-display-copies", True, timeout=COPYING_S):
        try:
            display_copies.write_missing_copies(at_most=COPIES_A_TIME)
        finally:
            cache.delete("write-display-copies")


@shared_task
def curate_reference(reference_id: int) -> None:
    """Look at one reference; a second delivery of the same id does nothing."""
    curation.curate_reference(reference_id)


def send_curations(reference_ids: list[int]) -> None:
    """Hand queued references to the workers once the transaction that queued them has ended."""
    for reference_id in reference_ids:
        curate_reference.delay_on_commit(reference_id)  # type: ignore[attr-defined]


@shared_task
def requeue_lost_curations() -> None:
    for reference_id in curation.requeue_lost_curations():
        curate_reference.delay(reference_id)


@shared_task
def remove_files() -> None:
    """Take up removals that a crash or a full disk left undone."""
    file_removal.carry_out()
