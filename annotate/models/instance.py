"""Stage 2: what to generate from people's media."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import append_only, check
from annotate.models.identity import IdentityGroup, Reference, User
from generator.records import MAX_REFERENCES, ReferenceKind


class DifferentialPrompt(models.Model):
    """What changes from the primary reference. An edit is a new row that supersedes this one."""

    text = models.TextField()
    elements = models.JSONField()
    method = models.CharField(max_length=200)
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    author = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        triggers = [append_only()]

    def __str__(self) -> str:
        return self.text

    @property
    def versions(self) -> list[DifferentialPrompt]:
        """This one and all that it supersedes, the newest first."""
        return [self, *(self.supersedes.versions if self.supersedes else [])]


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
        triggers = [
            pgtrigger.Trigger(
                name="videos_keep_their_prompt",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("prompt"),
                func="""
                    IF EXISTS (SELECT 1 FROM annotate_videosample WHERE instance_id = NEW.id) THEN
                        RAISE EXCEPTION 'an instance with videos keeps its prompt' USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"instance {self.pk} of {self.group}"


class InstanceReference(models.Model):
    """One reference's place in an instance: 0 is the primary, null the target clip.

    A place that shows a crop has its recipe and its file here; `shown` is what the model and people see.
    """

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="places")
    reference = models.ForeignKey(Reference, models.CASCADE, related_name="places")
    position = models.PositiveSmallIntegerField(null=True, blank=True)
    recipe = models.JSONField(null=True, blank=True)
    kind = models.CharField(max_length=16, blank=True)
    path = models.CharField(max_length=255, blank=True)
    poster = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["instance", F("position").asc(nulls_last=True)]
        constraints = [
            # A target is never also a reference, not even a crop of one, and no reference counts twice.
            models.UniqueConstraint(fields=["instance", "reference"], name="one_place_a_reference"),
            models.UniqueConstraint(
                fields=["instance", "position"], nulls_distinct=False, name="one_reference_a_place"
            ),
            check(Q(position__isnull=True) | Q(position__lt=MAX_REFERENCES), "at_most_five"),
            check(
                Q(recipe__isnull=True, kind="", path="", poster="", sha256="")
                | Q(
                    recipe__isnull=False,
                    position__isnull=False,
                    kind__in=[str(kind) for kind in ReferenceKind],
                )
                & ~Q(path="")
                & ~Q(poster="")
                & ~Q(sha256=""),
                "whole_or_crop",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instance}: {self.position}"

    @property
    def shown(self) -> Reference | InstanceReference:
        return self.reference if self.recipe is None else self

    @property
    def modality(self) -> ReferenceKind:
        return ReferenceKind(self.kind)

    @property
    def is_clip(self) -> bool:
        return self.modality.is_clip
