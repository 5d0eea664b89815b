"""Runs: jobs of rounds, and those that come before there is one."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.consent import Use, given_sql
from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.version import ModelVersion
from annotate.models.webhook import WebhookEvent, announces


class Stage(models.TextChoices):
    PROMPTS = "prompts"
    REGISTER = "register"
    DATASET = "dataset"
    SFT = "sft"
    SAMPLE = "sample"
    DPO = "dpo"
    EVALUATE = "evaluate"


class RunStatus(models.TextChoices):
    WAITING = "waiting"  # for somebody else's approval
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: What comes before there is a round; only of prompts is one run under way at a time.
BEFORE_ROUNDS = (Stage.PROMPTS, Stage.REGISTER, Stage.DATASET, Stage.SFT)

#: A run in one of these states may still write to its folder.
LIVE = (RunStatus.WAITING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLING)


_RUN_DATA = "jsonb_build_object('round', NEW.round_id, 'run', NEW.id, 'stage', NEW.stage)"


class Run(models.Model):
    """One job in a round. Its folder is the whole seam to the command that does the work.

    Of what comes before there is a round, it is null.
    """

    round = models.ForeignKey(Round, models.CASCADE, null=True, blank=True, related_name="runs")
    stage = models.CharField(max_length=16)
    ordinal = models.PositiveSmallIntegerField()
    folder = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=16, default=RunStatus.QUEUED)
    error = models.TextField(blank=True)
    export = models.ForeignKey("Export", models.PROTECT, null=True, blank=True, related_name="runs")
    candidate = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="evaluations"
    )
    # What an SFT starts from, or an adapter that is registered goes on; rounds name their own policy.
    policy = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="trainings")
    training_set = models.ForeignKey(
        "TrainingSet", models.PROTECT, null=True, blank=True, related_name="runs"
    )
    result = models.JSONField(null=True, blank=True)
    launched_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    needs_approval = models.BooleanField(default=False)
    approved_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    # Whoever executes the run renews this; a run that is not renewed is lost and is queued again.
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.UUIDField(null=True, blank=True)
    # Where a whole run is, or was last, worked on, and on which devices; shards say it themselves.
    machine = models.CharField(max_length=255, blank=True, default="", db_default="")
    # Starts since somebody queued it; those that a worker broke off in good order are not counted.
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Of one worker, over which a training is spread.
    devices = models.PositiveSmallIntegerField(default=1, db_default=1)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "stage", "ordinal"], nulls_distinct=False, name="one_run_an_ordinal"
            ),
            models.UniqueConstraint(
                fields=["round", "stage"],
                condition=Q(status__in=[*LIVE]) & (Q(round__isnull=False) | Q(stage=Stage.PROMPTS)),
                nulls_distinct=False,
                name="one_live_run_a_stage",
            ),
            check(
                Q(stage__in=[*BEFORE_ROUNDS], round=None)
                | ~Q(stage__in=[*BEFORE_ROUNDS]) & Q(round__isnull=False),
                "some_before_rounds",
            ),
            check(
                ~Q(stage=Stage.SFT) | Q(policy__isnull=False, training_set__isnull=False),
                "sft_starts_from_something",
            ),
            one_of("status", RunStatus.values),
            check(
                Q(status=RunStatus.DONE, result__isnull=False) | ~Q(status=RunStatus.DONE), "done_has_result"
            ),
            check(~Q(status=RunStatus.FAILED, error=""), "failed_has_error"),
            check(Q(attempts__lte=MAX_ATTEMPTS), "attempts_end"),
            check(Q(devices__gte=1), "run_has_a_device"),
            # Two people stand behind a run that needs approval, and it starts after the second's word.
            check(Q(needs_approval=False) | Q(launched_by__isnull=False), "approval_needs_a_launcher"),
            check(~Q(approved_by=F("launched_by")), "approved_by_another"),
            check(
                Q(approved_by=None, approved_at=None)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                "approved_as_a_whole",
            ),
            check(
                Q(needs_approval=False)
                | Q(approved_by__isnull=False)
                | Q(status__in=[RunStatus.WAITING, RunStatus.CANCELLED]),
                "no_start_without_approval",
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(name="launched_once", fields=["launched_by", "needs_approval"]),
            announces(
                WebhookEvent.ROUND_FAILED,
                _RUN_DATA,
                operation=pgtrigger.Update,
                where="NEW.round_id IS NOT NULL AND NEW.status = 'failed' AND OLD.status <> 'failed'",
            ),
            # The last stage is the evaluation of what was tuned, or the training where nobody is held out.
            announces(
                WebhookEvent.ROUND_FINISHED,
                _RUN_DATA,
                operation=pgtrigger.Update,
                where=f"""NEW.round_id IS NOT NULL AND NEW.status = 'done' AND OLD.status <> 'done'
                    AND (NEW.stage = 'evaluate' AND NEW.candidate_id IS NOT NULL
                        OR NEW.stage = 'dpo' AND NOT EXISTS (
                        SELECT 1 FROM annotate_instance i JOIN annotate_identitygroup g ON g.id = i.group_id
                        WHERE g.split = 'eval' AND g.truth IS NOT NULL
                        AND {given_sql("g", Use.EVALUATE)}))""",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.round or ''} {self.stage}-{self.ordinal}".lstrip()

    @property
    def took_s(self) -> float | None:
        """Seconds from the last start to the end; None before."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


class RunMetric(models.Model):
    """One line of a run's `metrics.jsonl`."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="metrics")
    line = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["run", "line"]
        constraints = [models.UniqueConstraint(fields=["run", "line"], name="one_metric_a_line")]

    def __str__(self) -> str:
        return f"{self.run}:{self.line}"
