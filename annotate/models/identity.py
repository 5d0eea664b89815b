"""Stages 1 and 2: people, their media, and what to generate from them."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import append_only, check, one_of
from generator.records import MAX_REFERENCES, ReferenceKind


def role_choices() -> list[tuple[str, str]]:
    """A callable, so that a new role needs no migration of the column's choices."""
    return User.Role.choices


class User(AbstractUser):
    """Somebody who signs in: an annotator, or a lead who runs rounds."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator"
        LEAD = "lead"

    role = models.CharField(max_length=16, default=Role.ANNOTATOR, choices=role_choices)
    is_simulated = models.BooleanField(default=False, editable=False)

    class Meta(AbstractUser.Meta):
        constraints = [one_of("role", ("annotator", "lead"))]
        triggers = [pgtrigger.ReadOnly(name="simulated_for_ever", fields=["is_simulated"])]

    @property
    def is_lead(self) -> bool:
        return self.role == self.Role.LEAD


class Split(models.TextChoices):
    TRAIN = "train"
    EVAL = "eval"
    BENCHMARK = "benchmark"


class IdentityGroup(models.Model):
    """One person with all their media. One row has one split, so no person is in two."""

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=200)
    licence = models.CharField(max_length=200, blank=True)
    consent_scope = models.CharField(max_length=200, blank=True)
    consent_expires_on = models.DateField(null=True, blank=True)
    split = models.CharField(max_length=16, default=Split.TRAIN)
    # What an embedded world knows exactly; null for real people, of whom nobody knows the truth.
    truth = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="one_group_a_person"),
            one_of("split", Split.values),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_synthetic(self) -> bool:
        return self.truth is not None


class Reference(models.Model):
    """One photo, half-body portrait or clip of a person, normalised at import."""

    group = models.ForeignKey(IdentityGroup, models.CASCADE, related_name="references")
    kind = models.CharField(max_length=16)
    source_name = models.CharField(max_length=255)
    # Of the original file: the same bytes are imported once for a person.
    source_sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    poster = models.CharField(max_length=255)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    num_frames = models.PositiveIntegerField()
    fps = models.FloatField()
    size_bytes = models.PositiveBigIntegerField()
    facts = models.JSONField(default=dict)
    elements = models.JSONField(null=True, blank=True)
    boxes = models.JSONField(default=dict, blank=True)
    quality = models.JSONField(default=dict, blank=True)
    reject_reasons = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["group", "source_name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "source_sha256"], name="one_reference_a_checksum"),
            one_of("kind", ReferenceKind),
            check(Q(num_frames__gte=1, width__gte=1, height__gte=1), "has_pixels"),
        ]

    def __str__(self) -> str:
        return f"{self.group}/{self.source_name}"

    @property
    def is_clip(self) -> bool:
        return self.kind == ReferenceKind.CLIP


class DifferentialPrompt(models.Model):
    """What changes from the primary reference. An edit is a new row that supersedes this one."""

    text = models.TextField()
    elements = models.JSONField()
    method = models.CharField(max_length=64)
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        triggers = [append_only()]

    def __str__(self) -> str:
        return self.text


class Instance(models.Model):
    """One generation input: an ordered set of references of one person, and what to change."""

    group = models.ForeignKey(IdentityGroup, models.CASCADE, related_name="instances")
    prompt = models.ForeignKey(DifferentialPrompt, models.PROTECT, related_name="instances")
    references = models.ManyToManyField(Reference, through="InstanceReference", related_name="instances")
    # Of the plan (references in order, target, prompt): building twice adds nothing.
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"instance {self.pk} of {self.group}"


class InstanceReference(models.Model):
    """One reference's place in an instance: 0 is the primary, null the target clip."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="places")
    reference = models.ForeignKey(Reference, models.CASCADE, related_name="places")
    position = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["instance", F("position").asc(nulls_last=True)]
        constraints = [
            # A target is never also a reference, and no reference counts twice.
            models.UniqueConstraint(fields=["instance", "reference"], name="one_place_a_reference"),
            models.UniqueConstraint(
                fields=["instance", "position"], nulls_distinct=False, name="one_reference_a_place"
            ),
            check(Q(position__isnull=True) | Q(position__lt=MAX_REFERENCES), "at_most_five"),
        ]

    def __str__(self) -> str:
        return f"{self.instance}: {self.position}"
