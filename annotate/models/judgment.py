"""Stage 5: votes that are wanted, and votes that were given."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Random

from annotate.models.constraints import append_only, check, one_of
from annotate.models.round import VideoPair
from rlhf.records import Track, Verdict


class Side(models.TextChoices):
    LEFT = "left"
    RIGHT = "right"


class Slot(models.Model):
    """One vote that is wanted: a pair on a track, leased to at most one person at a time."""

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="slots")
    track = models.CharField(max_length=16)
    ordinal = models.PositiveSmallIntegerField()
    # Order of assignment: an indexed random key, so that a lease never sorts the table.
    random_key = models.FloatField(db_default=Random())
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="slots"
    )
    first_side = models.CharField(max_length=8, null=True, blank=True)  # noqa: DJ001 - null is "nobody looks yet"
    lease = models.UUIDField(null=True, blank=True, unique=True)
    leased_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["pair", "track", "ordinal"], name="one_slot_an_ordinal"),
            # Nobody judges both tracks of a pair, nor one track twice.
            models.UniqueConstraint(fields=["pair", "annotator"], name="one_slot_a_person_and_pair"),
            one_of("track", Track),
            check(
                Q(annotator=None, lease=None, first_side=None, leased_at=None, lease_expires_at=None)
                | Q(annotator__isnull=False, lease__isnull=False, first_side__in=Side.values)
                & Q(leased_at__isnull=False, lease_expires_at__isnull=False),
                "leased_as_a_whole",
            ),
            check(Q(judged_at=None) | Q(annotator__isnull=False), "judged_by_somebody"),
        ]
        indexes = [
            models.Index(fields=["track", "random_key"], condition=Q(judged_at=None), name="slot_wanted"),
            models.Index(fields=["annotator", "track"], name="slot_of_annotator"),
        ]

    def __str__(self) -> str:
        return f"slot {self.pk}"


class Exposure(models.Model):
    """The one track on which a person has been shown a pair; it outlives an expired lease."""

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="exposures")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="exposures")
    track = models.CharField(max_length=16)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pair", "annotator"], name="one_track_a_person_and_pair"),
            one_of("track", Track),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} saw {self.pair} on {self.track}"


class Judgment(models.Model):
    """What a person said of one pair on one track. Revisions append; the highest one counts."""

    slot = models.ForeignKey(Slot, models.CASCADE, related_name="judgments")
    revision = models.PositiveSmallIntegerField(default=1)
    verdict = models.CharField(max_length=16)
    reason = models.CharField(max_length=200, blank=True)
    evidence = models.JSONField(default=dict)
    is_simulated = models.BooleanField()
    idempotency_key = models.UUIDField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slot", "revision"]
        constraints = [
            models.UniqueConstraint(fields=["slot", "revision"], name="one_judgment_a_revision"),
            one_of("verdict", Verdict),
            check(Q(revision__gte=1), "revision_from_one"),
        ]
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"{self.slot}: {self.verdict}"
