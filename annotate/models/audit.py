"""Who did what to which row."""

from __future__ import annotations

from django.db import models

from annotate.database.moments import in_words
from annotate.models.constraints import append_only
from annotate.models.identity import User


class AuditEvent(models.Model):
    """One act. Each row's hash covers the row before it, so a gap or an edit shows."""

    actor = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    verb = models.CharField(max_length=64)
    table = models.CharField(max_length=64)
    row_id = models.BigIntegerField(null=True, blank=True)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64, unique=True)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["id"]
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"{in_words(self.at)} {self.verb} {self.table} {self.row_id}"
