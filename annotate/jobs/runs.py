"""Runs: queued by a lead, claimed by one worker, followed while they work, ended once.

A run's folder survives whatever kills its worker. A run that nobody renews is queued again and goes on
in the same folder, so no result is made twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Max, Q, Value, When
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.models import (
    LIVE,
    MOST_ATTEMPTS,
    Export,
    InstanceReference,
    ModelKind,
    ModelVersion,
    Round,
    Run,
    RunMetric,
    RunStatus,
    Stage,
    Use,
    User,
    VideoSample,
)
from annotate.privacy.consent import refuse_training, refuse_without_consent
from annotate.privacy.consent_queries import people_of, refusal
from annotate.prompts.generated import store_described
from annotate.rounds import queries
from annotate.rounds.prompt_limits import leave_out_unread
from annotate.rounds.rounds import open_ready_pairs, refuse_comparison, rounds_sharing_videos
from generator.display_copies import write_display_copy
from generator.rundir import RunDir
from generator.video import MediaError, probe

#: A running job that was not renewed for this long has lost its worker.
LOST_AFTER = timedelta(seconds=30)
#: A queued job that nobody took for this long has lost its message.
UNCLAIMED_AFTER = timedelta(seconds=60)
#: Any constant: it only has to be the same for everyone who queues runs.
_QUEUE_LOCK = 7_206_148


def run_dir(run: Run) -> RunDir:
    return RunDir(settings.STORAGE_ROOT / run.folder)


def queue_sampling(round: Round, actor: User | None = None, *, retry_failed: bool = False) -> Run | None:
    """Queue a run for the videos of the round that are not made yet, or None when all are.

    Votes are asked for on pairs whose videos exist, whichever round made them.

    A run loads one model: where a round compares several, one run follows another.
    Videos that failed are left alone unless they are to be tried again, and so are people who did not agree.
    Those whose prompt the model would not read whole fail at once, with the reason.

    Raises:
        RoundError: videos are missing, and nobody of the round agreed to them.
    """
    missing = queries.missing_samples(round, include_failed=retry_failed)
    versions = ModelVersion.objects.filter(pk__in=missing.order_by().values("model_version"))
    if (
        not versions.exists()
        and queries.missing_samples(round, include_failed=retry_failed, include_refused=True).exists()
    ):
        refuse_without_consent(round)
    for version in versions.order_by("id"):
        if samples := leave_out_unread(version, missing.filter(model_version=version)):
            break
    else:
        open_ready_pairs(round)
        return None

    def request(folder: RunDir) -> dict[str, Any]:
        return {
            "model": model_request(version, folder),
            "settings": round.sampler,
            "samples": [
                {
                    "sample_id": str(sample.pk),
                    "seed": sample.seed,
                    "prompt": sample.instance.prompt.text,
                    "references": references_request(sample.instance_id, folder),
                }
                for sample in samples
            ],
        }

    return queue_run(round, Stage.SAMPLE, request, actor=actor)


def queue_dpo(
    round: Round, export: Export, actor: User | None = None, *, config: Mapping[str, Any] | None = None
) -> Run:
    """Queue Flow-DPO on a frozen export, with the round's settings or others.

    Where rounds need approval, the run waits for somebody else's.

    Raises:
        RoundError: the export is empty or withdrawn, or holds people who did not agree to training, the round
            compares models, or approval is needed and nobody launches by name.
    """
    refuse_comparison(round)
    if settings.APPROVE_ROUNDS and actor is None:
        raise RoundError(
            "APPROVE_ROUNDS is on, so a person has to launch Flow-DPO and another one to approve it; "
            "sign in and launch it from the round's page"
        )
    if export.withdrawn:
        raise RoundError(f"{export} was withdrawn ({export.withdrawn}); export the round again")
    refuse_training(export)
    if not export.num_pairs:
        says = f"{export} holds no pair; collect more votes, or look at the reasons on the round's page"
        left_out = refusal(people_of(round), Use.SHOW, Use.TRAIN)
        raise RoundError(f"{says}. {left_out}" if left_out else says)

    def request(folder: RunDir) -> dict[str, Any]:
        return {
            "model": model_request(round.policy, folder),
            "export": folder.relative(settings.STORAGE_ROOT / export.folder),
            "cache": folder.relative(settings.STORAGE_ROOT / export.cache_folder),
            "config": round.dpo if config is None else dict(config),
        }

    return queue_run(
        round,
        Stage.DPO,
        request,
        actor=actor,
        export=export,
        needs_approval=settings.APPROVE_ROUNDS,
        status=RunStatus.WAITING if settings.APPROVE_ROUNDS else RunStatus.QUEUED,
    )


@transaction.atomic
def queue_run(round: Round | None, stage: Stage, request: Any, *, actor: User | None, **links: Any) -> Run:
    """One live run a stage: a second wish returns the run that is under way."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_QUEUE_LOCK])
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_QUEUE_LOCK, round.pk if round else 0])
    runs = Run.objects.filter(round=round, stage=stage)
    live = runs.filter(status__in=[*LIVE]).first()
    if live is not None:
        return live
    place = f"runs/round-{round.pk}" if round else "runs/people"
    ordinal = _free_ordinal((runs.aggregate(last=Max("ordinal"))["last"] or 0) + 1, f"{place}/{stage}")
    run = Run(
        round=round,
        stage=stage,
        ordinal=ordinal,
        folder=f"{place}/{stage}-{ordinal}",
        launched_by=actor,
        **links,
    )
    folder = run_dir(run)
    folder.create({"stage": str(stage), **request(folder)})
    run.save()
    record_event("queue_run", run, actor=actor, stage=str(stage))
    return run


def hold_queue() -> None:
    """Nobody queues a run until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_QUEUE_LOCK])


def _free_ordinal(ordinal: int, prefix: str) -> int:
    """The first whose folder is free: one that was made for a row that never came is left alone."""
    while (settings.STORAGE_ROOT / f"{prefix}-{ordinal}").exists():
        ordinal += 1
    return ordinal


def model_request(version: ModelVersion, folder: RunDir) -> dict[str, Any]:
    base = Path(version.base_model)
    return {
        "base": str(base.resolve()) if base.exists() else version.base_model,
        "adapters": [folder.relative(settings.STORAGE_ROOT / path) for path in queries.adapters_of(version)],
    }


def references_request(instance_id: int, folder: RunDir) -> list[dict[str, str]]:
    places = InstanceReference.objects.filter(instance_id=instance_id).exclude(position=None)
    return [
        {"path": folder.relative(settings.STORAGE_ROOT / place.shown.path), "kind": place.shown.kind}
        for place in places.select_related("reference").order_by("position")
    ]


def claim_run(run_id: int, worker: UUID) -> Run | None:
    """Take a queued run for this worker, or None when somebody else has it or it has ended."""
    taken = Run.objects.filter(pk=run_id, status=RunStatus.QUEUED).update(
        status=RunStatus.RUNNING,
        worker=worker,
        attempts=F("attempts") + 1,
        heartbeat_at=Now(),
        started_at=Now(),
        error="",
    )
    return Run.objects.select_related("round__policy").get(pk=run_id) if taken else None


def renew_run(run: Run, worker: UUID) -> RunStatus | None:
    """Say that the worker is alive; returns the run's status, or None when it is no longer the worker's.

    A run that was taken for lost, because the database was away for longer than that takes, is still its
    own until another worker has begun it.
    """
    mine = Q(worker=worker, status__in=[RunStatus.RUNNING, RunStatus.CANCELLING])
    given_up = Q(worker=None, status=RunStatus.QUEUED)
    if not Run.objects.filter(mine | given_up, pk=run.pk).update(
        worker=worker,
        heartbeat_at=Now(),
        status=Case(When(given_up, then=Value(RunStatus.RUNNING)), default=F("status")),
    ):
        return None
    return RunStatus(Run.objects.values_list("status", flat=True).get(pk=run.pk))


def follow_run(run: Run) -> int:
    """Bring new metric lines, and the samples they announce, into the database.

    Safe to repeat. Returns how many lines are stored.
    """
    stored = run.metrics.count()
    lines = run_dir(run).read_metrics(stored)
    RunMetric.objects.bulk_create(
        [RunMetric(run=run, line=stored + number, values=values) for number, values in enumerate(lines)],
        ignore_conflicts=True,
    )
    if run.stage == Stage.PROMPTS:
        store_described(run_dir(run), lines)
    if run.stage == Stage.SAMPLE and run.round:
        for values in lines:
            _store_sample(run, str(values.get("sample_id", "")))
        if lines:
            open_ready_pairs(run.round)
    return stored + len(lines)


def _store_sample(run: Run, sample_id: str, error: str = "") -> None:
    """Believe a sample only once its file is decoded; the facts are the file's, not the command's."""
    sample = VideoSample.objects.filter(pk=int(sample_id), path="").first() if sample_id.isdecimal() else None
    if sample is None:
        return
    path, shown_path = (f"{run.folder}/{folder}/{sample_id}.mp4" for folder in ("samples", "shown"))
    if not error:
        try:
            facts = probe(settings.STORAGE_ROOT / path)
            if not (settings.STORAGE_ROOT / shown_path).exists():  # sampled by an earlier version
                write_display_copy(
                    settings.STORAGE_ROOT / path, settings.STORAGE_ROOT / shown_path, name=facts.sha256
                )
        except MediaError as problem:
            error = str(problem)
    if error:
        VideoSample.objects.filter(pk=sample.pk, path="").update(error=error)
        return
    VideoSample.objects.filter(pk=sample.pk, path="").update(
        path=path,
        shown_path=shown_path,
        sha256=facts.sha256,
        error="",
        facts={
            "width": facts.width,
            "height": facts.height,
            "num_frames": facts.num_frames,
            "fps": facts.fps,
            "size_bytes": facts.size_bytes,
        },
    )


@transaction.atomic
def finish_run(run: Run, worker: UUID) -> bool:
    """Store the result of a complete folder; False when the run was not this worker's any more."""
    result = run_dir(run).read_result()
    follow_run(run)
    done = Run.objects.filter(pk=run.pk, worker=worker, status__in=[RunStatus.RUNNING, RunStatus.CANCELLING])
    if not done.update(status=RunStatus.DONE, result=result, ended_at=Now()):
        return False
    if run.stage == Stage.SAMPLE and run.round:
        for item in result["samples"]:
            _store_sample(run, str(item["sample_id"]))
        for item in result.get("failed", []):
            _store_sample(run, str(item["sample_id"]), error=item["error"])
        for round in (run.round, *rounds_sharing_videos(run.round)):
            open_ready_pairs(round)
    if run.stage == Stage.DPO and run.round:
        _register_adapter(run, run.round, result)
    record_event("finish_run", run)
    return True


def _register_adapter(run: Run, round: Round, result: dict[str, Any]) -> ModelVersion:
    parent = round.policy
    version, created = ModelVersion.objects.get_or_create(
        run=run,
        defaults={
            "name": f"{parent.name}+dpo-{round.pk}.{run.ordinal}",
            "kind": ModelKind.DPO,
            "base_model": parent.base_model,
            "parent": parent,
            "export": run.export,
            "adapter_path": f"{run.folder}/{result['adapter']}",
            "weights_sha256": result["adapter_sha256"],
            # An adapter of the transformer changes nothing of how prompts are read.
            "max_tokens": parent.max_tokens,
            "special_tokens": parent.special_tokens,
            "tokenizer_sha256": parent.tokenizer_sha256,
        },
    )
    if created:
        record_event("register_model", version, export=run.export_id)
    return version


def end_run(run: Run, worker: UUID, status: RunStatus, error: str = "") -> bool:
    """Mark a run failed or cancelled; False when it was not this worker's any more."""
    ended = Run.objects.filter(pk=run.pk, worker=worker, status__in=[*LIVE]).update(
        status=status, error=error[:4000], ended_at=Now()
    )
    if ended:
        # Not the error: it may name a person's file, and the chain forgets nothing.
        record_event(f"{status}_run", run)
    return bool(ended)


def cancel_run(run: Run, actor: User | None = None) -> bool:
    """Ask a live run to stop; one that did not start ends at once. False when it had ended already."""
    live = Run.objects.filter(pk=run.pk)
    resting = live.filter(status__in=[RunStatus.WAITING, RunStatus.QUEUED])
    stopped = resting.update(status=RunStatus.CANCELLED, ended_at=Now())
    stopped = stopped or live.filter(status=RunStatus.RUNNING).update(status=RunStatus.CANCELLING)
    if stopped:
        record_event("cancel_run", run, actor=actor)
    return bool(stopped)


def retry_run(run: Run, actor: User | None = None) -> bool:
    """Queue a failed or cancelled run again, in the same folder: it goes on where it stopped.

    It may lose its worker as often as a new one.

    What was cancelled before anybody approved it waits for approval again. False when it has not ended, or
    when another run of its stage is under way.
    """
    if Run.objects.filter(round=run.round_id, stage=run.stage, status__in=[*LIVE]).exists():
        return False
    ended = Run.objects.filter(pk=run.pk, status__in=[RunStatus.FAILED, RunStatus.CANCELLED])
    unapproved = When(needs_approval=True, approved_by=None, then=Value(RunStatus.WAITING))
    queued = ended.update(
        status=Case(unapproved, default=Value(RunStatus.QUEUED)),
        queued_at=Now(),
        worker=None,
        attempts=0,
        ended_at=None,
        error="",
    )
    if queued:
        record_event("retry_run", run, actor=actor)
    return bool(queued)


def let_go(run: Run, worker: UUID) -> None:
    """Queue a run whose worker is stopped in good order, which is no attempt of the run."""
    mine = Run.objects.filter(pk=run.pk, worker=worker, status=RunStatus.RUNNING)
    mine.update(
        status=RunStatus.QUEUED,
        worker=None,
        attempts=F("attempts") - 1,
        queued_at=Now() - 2 * UNCLAIMED_AFTER,
    )


def requeue_lost_runs() -> list[int]:
    """Queue what lost its worker or its message; returns the runs to send out again.

    What has lost its worker `MOST_ATTEMPTS` times ends as failed.
    """
    lost = Run.objects.filter(heartbeat_at__lt=Now() - LOST_AFTER)
    lost.filter(status=RunStatus.CANCELLING).update(status=RunStatus.CANCELLED, ended_at=Now())
    running = lost.filter(status=RunStatus.RUNNING)
    for run in running.filter(attempts__gte=MOST_ATTEMPTS):
        _give_up(run)
    running.filter(attempts__lt=MOST_ATTEMPTS).update(
        status=RunStatus.QUEUED, worker=None, queued_at=Now() - 2 * UNCLAIMED_AFTER
    )
    unclaimed = Run.objects.filter(status=RunStatus.QUEUED, queued_at__lt=Now() - UNCLAIMED_AFTER)
    ids = list(unclaimed.values_list("pk", flat=True))
    Run.objects.filter(pk__in=ids).update(queued_at=Now())
    return ids


@transaction.atomic
def _give_up(run: Run) -> None:
    error = (
        f"its worker was lost {run.attempts} times, most often because the machine's memory ran out; look at "
        "the worker's log, then try again"
    )
    same = Run.objects.filter(pk=run.pk, worker=run.worker, status=RunStatus.RUNNING)
    if same.update(status=RunStatus.FAILED, error=error, ended_at=Now()):
        record_event("failed_run", run, error=error)
