"""How people vote: stored figures, flags that ask for a review, and votes that do not count any more."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.preference import Export
from annotate.models.round import Round
from rlhf.records import Track
from rlhf.votes.annotators import FlagKind


class RoundFigures(models.Model):
    """What takes long to compute of a round's votes. People and simulated annotators are never mixed."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="figures")
    is_simulated = models.BooleanField()
    # Of the votes that went in and of the version of the maths: the same ones are computed once.
    inputs_hash = models.CharField(max_length=64)
    num_votes = models.PositiveIntegerField()
    figures = models.JSONField()
    computed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "round figures"
        constraints = [models.UniqueConstraint(fields=["round", "is_simulated"], name="figures_of_a_round")]

    def __str__(self) -> str:
        return f"figures of {self.round}, {'simulated' if self.is_simulated else 'people'}"


class FlagOutcome(models.TextChoices):
    FINE = "fine", "nothing is wrong"
    TALK = "talk", "talked with the person"
    DISQUALIFIED = "disqualified", "votes do not count any more"


class AnnotatorFlag(models.Model):
    """A figure of somebody's votes that chance hardly explains. It asks a lead for a review, no more."""

    annotator = models.ForeignKey(User, models.PROTECT, related_name="flags")
    # The other one of two who agree too often.
    partner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="flags_as_partner")
    round = models.ForeignKey(Round, models.CASCADE, related_name="flags")
    track = models.CharField(max_length=16)
    kind = models.CharField(max_length=16)
    figure = models.FloatField()
    chance = models.FloatField()
    evidence = models.CharField(max_length=300)
    # How many votes of this person on the track were examined.
    num_votes = models.PositiveIntegerField()
    raised_at = models.DateTimeField(auto_now_add=True)
    reviewed_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    reviewed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, blank=True, choices=FlagOutcome.choices)
    note = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["annotator", "partner", "round", "track", "kind"],
                condition=Q(outcome=""),
                nulls_distinct=False,
                name="one_open_flag_of_a_kind",
            ),
            one_of("track", Track),
            one_of("kind", FlagKind),
            check(
                Q(outcome="", reviewed_by=None, reviewed_at=None)
                | Q(outcome__in=FlagOutcome.values, reviewed_by__isnull=False, reviewed_at__isnull=False),
                "reviewed_as_a_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.annotator} on {self.track}"


class Disqualification(models.Model):
    """From `at` until `lifted_at`, the votes of this person stay and do not count."""

    annotator = models.ForeignKey(User, models.PROTECT, related_name="disqualifications", db_index=False)
    reason = models.CharField(max_length=1000)
    by = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_because = models.CharField(max_length=1000, blank=True)
    # Pairs are resolved again in their order, after a lifting once more; null is before the end.
    last_pair = models.PositiveBigIntegerField(default=0)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["annotator"], condition=Q(lifted_at=None), name="disqualified_once_at_a_time"
            ),
            check(~Q(reason=""), "says_why"),
            check(
                Q(lifted_at=None, lifted_by=None, lifted_because="")
                | Q(lifted_at__isnull=False, lifted_by__isnull=False) & ~Q(lifted_because=""),
                "lifted_as_a_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"disqualification {self.pk} of {self.annotator}"


class Supersession(models.Model):
    """An export made again without somebody's votes, and the one that stands in its place."""

    export = models.OneToOneField(Export, models.CASCADE, related_name="superseded")
    by_export = models.ForeignKey(Export, models.CASCADE, related_name="supersedes")
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(User, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [check(~Q(export=models.F("by_export")), "another_export")]

    def __str__(self) -> str:
        return f"{self.export} is superseded by {self.by_export}"
