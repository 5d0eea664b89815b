"""Versions of models, and the line that each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from annotate.models.constraints import check, one_of

if TYPE_CHECKING:
    from annotate.models.run import Run


#: An adapter that is multiplied by more makes noise.
MAX_WEIGHT = 4.0


class ModelKind(models.TextChoices):
    BASE = "base"
    SFT = "sft"
    DPO = "dpo"
    MIX = "mix"  # adapters of several versions of one base, each with its weight


class ModelState(models.TextChoices):
    CANDIDATE = "candidate"
    PROMOTED = "promoted"  # the one of its lineage that is meant to be used
    ARCHIVED = "archived"  # starts no round any more


class ModelVersion(models.Model):
    """A base model with its adapters. What it came from is always known."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=8)
    state = models.CharField(max_length=16, default=ModelState.CANDIDATE)
    base_model = models.CharField(max_length=500)
    weights_sha256 = models.CharField(max_length=64)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    # The imported model that the line of parents begins with, null for that model; the database fills it.
    root = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="descendants"
    )
    adapter_path = models.CharField(max_length=500, blank=True)
    export = models.ForeignKey(
        "Export", models.PROTECT, null=True, blank=True, related_name="trained_versions"
    )
    run = models.OneToOneField("Run", models.PROTECT, null=True, blank=True, related_name="model_version")
    # How it reads prompts: the most tokens, how many of these are added to each, and the sha256 of the
    # tokenizer, which lies in the storage. Unknown where nobody who has the model's files has looked yet.
    max_tokens = models.PositiveIntegerField(null=True, blank=True)
    special_tokens = models.PositiveSmallIntegerField(null=True, blank=True)
    tokenizer_sha256 = models.CharField(max_length=64, blank=True, db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(
                Q(max_tokens=None, special_tokens=None, tokenizer_sha256="")
                | Q(max_tokens__gt=F("special_tokens")) & ~Q(tokenizer_sha256=""),
                "reads_prompts_as_a_whole",
            ),
            one_of("kind", ModelKind.values),
            one_of("state", ModelState.values),
            models.UniqueConstraint(
                Coalesce("root", "id"), condition=Q(state=ModelState.PROMOTED), name="one_promoted_a_lineage"
            ),
            # A base has no parent; everything else has one and a run, but for a mix, which nobody trained.
            check(
                Q(parent__isnull=True) | Q(run__isnull=False) ^ Q(kind=ModelKind.MIX),
                "has_origin",
            ),
            check(~Q(kind=ModelKind.MIX) | Q(parent__isnull=False, adapter_path=""), "mix"),
            check(
                Q(kind=ModelKind.DPO, parent__isnull=False, export__isnull=False) | ~Q(kind=ModelKind.DPO),
                "dpo",
            ),
            check(Q(kind=ModelKind.BASE, parent__isnull=True) | ~Q(kind=ModelKind.BASE), "base"),
            check(
                Q(parent__isnull=True) | Q(kind=ModelKind.MIX) | ~Q(adapter_path=""), "trained_has_adapter"
            ),
            check(~Q(parent=F("id")), "not_its_own_parent"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="root_of_its_parent",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    NEW.root_id := (SELECT coalesce(root_id, id) FROM annotate_modelversion
                                    WHERE id = NEW.parent_id);
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def lineage_id(self) -> int:
        return self.root_id or self.pk

    @property
    def line(self) -> list[ModelVersion]:
        """From the imported model on, this version last."""
        return [*(self.parent.line if self.parent else []), self]

    @property
    def before_votes(self) -> ModelVersion:
        """The model that it comes from, before Flow-DPO changed it for the first time."""
        line = self.line
        first = next(
            (number for number, version in enumerate(line) if version.kind == ModelKind.DPO), len(line)
        )
        return line[max(0, first - 1)]

    @property
    def training(self) -> Run | None:
        """The run that trained it here; None of what was registered or mixed."""
        run = self.run
        return run if run is not None and (run.export_id or run.training_set_id) else None

    def adapters(self) -> list[tuple[ModelVersion, float]]:
        """The versions whose own adapters make this one, in the order in which they go on the base.

        Those of a mix are in its list, with weights; every other version adds its own to its parent's.
        """
        if self.kind == ModelKind.MIX:
            return [(one.version, one.weight) for one in self.mixed.select_related("version")]
        before = self.parent.adapters() if self.parent else []
        return [*before, (self, 1.0)] if self.adapter_path else before


class MixedAdapter(models.Model):
    """One place in the list of a mix: the own adapter of a version, and what it is multiplied by."""

    mix = models.ForeignKey(ModelVersion, models.CASCADE, related_name="mixed")
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="mixed_in")
    weight = models.FloatField()

    class Meta:
        ordering = ["mix", "position"]
        constraints = [
            models.UniqueConstraint(fields=["mix", "position"], name="one_adapter_a_place"),
            models.UniqueConstraint(fields=["mix", "version"], name="one_place_an_adapter"),
            check(Q(weight__gte=-MAX_WEIGHT, weight__lte=MAX_WEIGHT) & ~Q(weight=0), "weight_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.weight:g} x {self.version}"
