"""Judgments as a file: asked for, written by a worker, kept for some days."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.run import LIVE, RunStatus
from annotate.models.webhook import WebhookEvent, announces
from rlhf.records import Track


class FileFormat(models.TextChoices):
    JSONL = "jsonl"
    PARQUET = "parquet"


class JudgmentFile(models.Model):
    """One file of judgments. It exists under its path only once it is whole."""

    round = models.ForeignKey(
        Round, models.CASCADE, null=True, blank=True, related_name="judgment_files"
    )  # null: all rounds
    track = models.CharField(max_length=16, blank=True)
    file_format = models.CharField(max_length=8, choices=FileFormat.choices, default=FileFormat.JSONL)
    includes_simulated = models.BooleanField(default=True)
    includes_names = models.BooleanField(default=False)
    status = models.CharField(max_length=16, default=RunStatus.QUEUED)
    num_rows = models.PositiveBigIntegerField(null=True, blank=True)
    rows_written = models.PositiveBigIntegerField(default=0)
    path = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)
    # Why the file is gone before its days were over.
    withdrawn = models.CharField(max_length=300, blank=True)
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # As for a run: whoever writes the file renews this, and a file that is not renewed is begun again.
    worker = models.UUIDField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(db_default=Now(), editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("status", RunStatus.values),
            check(Q(attempts__lte=MAX_ATTEMPTS), "attempts_end"),
            one_of("file_format", FileFormat.values),
            one_of("track", ["", *Track]),
            check(
                ~Q(sha256="") & Q(status=RunStatus.DONE, size_bytes__isnull=False, expires_at__isnull=False)
                | ~Q(status=RunStatus.DONE) & Q(path=""),
                "whole_when_done",
            ),
        ]
        triggers = [
            announces(
                WebhookEvent.EXPORT_READY,
                """jsonb_build_object('kind', 'judgments', 'round', NEW.round_id, 'export', NEW.id,
                    'num_rows', NEW.num_rows, 'sha256', NEW.sha256)""",
                operation=pgtrigger.Update,
                where="NEW.status = 'done' AND OLD.status <> 'done'",
            )
        ]

    def __str__(self) -> str:
        return f"judgments {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def suffix(self) -> str:
        return ".parquet" if self.file_format == FileFormat.PARQUET else ".jsonl.gz"
