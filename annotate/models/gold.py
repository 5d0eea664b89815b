"""Pairs whose answer is known, and what people made of them before they were let in."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.judgment import Slot
from annotate.models.video import VideoPair
from rlhf.records import Track


class GoldKind(models.TextChoices):
    SELF_PAIR = "self_pair"  # one video twice: a tie, on both tracks
    IMPOSTOR = "impostor"  # another person's video: not this identity
    PROMPT_SWAP = "prompt_swap"  # made for another prompt: not these changes
    DEGRADED = "degraded"  # the same video with its shapes bent: a face, but not this one
    REPEAT = "repeat"  # a pair that its person judged before, sides exchanged: no answer, but the same one


class GoldPair(models.Model):
    """What makes a pair gold. The answer itself is the pair's `gold_verdicts`.

    Gold has no slots that wait in the queue: one is made in the moment in which it is leased.
    """

    pair = models.OneToOneField(VideoPair, models.CASCADE, related_name="gold")
    kind = models.CharField(max_length=16)
    track = models.CharField(max_length=16)
    # Shown in qualification only, so what is explained there gives no working gold away.
    is_training = models.BooleanField(default=False)
    # How many people may see it, at most.
    budget = models.PositiveSmallIntegerField()
    repeats = models.OneToOneField(Slot, models.CASCADE, null=True, blank=True, related_name="repeated_as")
    retired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("kind", GoldKind.values),
            one_of("track", Track),
            check(Q(budget__gte=1), "somebody_sees_it"),
            check(
                Q(kind=GoldKind.REPEAT, repeats__isnull=False, budget=1, is_training=False)
                | ~Q(kind=GoldKind.REPEAT) & Q(repeats=None),
                "a_repeat_repeats",
            ),
        ]
        # Repeats, which grow with the votes, are found by their person.
        indexes = [
            models.Index(
                fields=["track", "is_training"],
                condition=Q(retired_at=None, repeats=None),
                name="gold_that_is_shown",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pair_id} on {self.track}"


class Qualification(models.Model):
    """One try of one person at one track. It ends with the last of its pairs."""

    annotator = models.ForeignKey(User, models.CASCADE, related_name="qualifications")
    track = models.CharField(max_length=16)
    asked = models.PositiveSmallIntegerField()
    right = models.PositiveSmallIntegerField()
    is_passed = models.BooleanField()
    slots = models.ManyToManyField(Slot, related_name="+")
    ended_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("track", Track),
            check(Q(right__lte=F("asked")), "right_of_asked"),
            models.UniqueConstraint(
                fields=["annotator", "track"], condition=Q(is_passed=True), name="passed_once_a_track"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} on {self.track}: {self.right} of {self.asked}"
