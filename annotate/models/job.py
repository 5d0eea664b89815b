"""Work that a page asked for and does not wait for."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import MD5, Cast, Now

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.run import LIVE, RunStatus


class Job(models.Model):
    """One action of a lead that takes longer than a request may, done by one worker at a time.

    `kind` is one of `background.kinds`, which says what `values` mean; `outcome` tells what came of it,
    `link` leads there, and `result` is what pages and programs read of it.
    """

    kind = models.CharField(max_length=32)
    round = models.ForeignKey(Round, models.CASCADE, null=True, blank=True, related_name="jobs")
    values = models.JSONField(default=dict, blank=True)
    asked_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    status = models.CharField(max_length=16, default=RunStatus.QUEUED)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(null=True, blank=True)
    outcome = models.TextField(blank=True)
    link = models.CharField(max_length=255, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    worker = models.UUIDField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(db_default=Now(), editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("status", RunStatus.values),
            check(Q(attempts__lte=MAX_ATTEMPTS), "attempts_end"),
            check(~Q(status=RunStatus.FAILED, error=""), "failed_has_error"),
            # Two clicks at once ask for one job. Values may be longer than a row of an index.
            models.UniqueConstraint(
                "kind",
                "round",
                "asked_by",
                MD5(Cast("values", models.TextField())),
                condition=Q(status__in=[*LIVE]),
                nulls_distinct=False,
                name="job_is_asked_for_once",
            ),
        ]
        indexes = [models.Index(fields=["status"], condition=Q(status__in=[*LIVE]), name="live_jobs")]

    def __str__(self) -> str:
        return f"job {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE
