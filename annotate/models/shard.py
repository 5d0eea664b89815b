"""Parts of a run, each of which one worker does at a time."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.constraints import check, one_of
from annotate.models.run import Run


class ShardStatus(models.TextChoices):
    QUEUED = "queued"  # until it is its run's turn
    SENT = "sent"  # its message is with the broker
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: A worker may still work on a shard in one of these states, or begin to.
LIVE_SHARDS = (ShardStatus.QUEUED, ShardStatus.SENT, ShardStatus.RUNNING, ShardStatus.CANCELLING)


class Shard(models.Model):
    """The part of a run's request from `start` to before `stop`. The row decides whose it is."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="shards")
    number = models.PositiveIntegerField()
    start = models.PositiveIntegerField()
    stop = models.PositiveIntegerField()
    made = models.PositiveIntegerField(default=0, db_default=0)
    # What was spent on what was made: by it the next run is split.
    seconds = models.FloatField(default=0.0, db_default=0.0)
    status = models.CharField(max_length=16, default=ShardStatus.QUEUED)
    # Of the message that counts; whoever holds an earlier one has nothing to say any more.
    ticket = models.UUIDField(null=True, blank=True)
    # Of the attempt under way, among those that were given the same message.
    claim = models.UUIDField(null=True, blank=True)
    worker = models.CharField(max_length=255, blank=True)
    device = models.CharField(max_length=255, blank=True)
    software = models.CharField(max_length=64, blank=True)
    # Starts since something was last made; handing it back in good order is none.
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    # Why it failed; of one that goes on, what the last worker said that could not do it.
    error = models.TextField(blank=True)
    # What its last attempt said of the machine.
    facts = models.JSONField(default=dict, db_default=Value({}, models.JSONField()))
    sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["run", "number"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="one_shard_a_number"),
            one_of("status", ShardStatus.values),
            check(Q(start__lt=F("stop")), "shard_is_not_empty"),
            check(Q(attempts__lte=MAX_ATTEMPTS), "shard_attempts_end"),
            check(~Q(status=ShardStatus.FAILED, error=""), "failed_shard_has_error"),
            check(~Q(status=ShardStatus.SENT, ticket=None), "sent_shard_has_ticket"),
            check(~Q(status=ShardStatus.RUNNING, claim=None), "running_shard_has_claim"),
        ]
        indexes = [
            models.Index(fields=["status"], condition=Q(status__in=[*LIVE_SHARDS]), name="live_shards"),
        ]

    def __str__(self) -> str:
        return f"{self.run} shard {self.number}"

    @property
    def size(self) -> int:
        return self.stop - self.start
