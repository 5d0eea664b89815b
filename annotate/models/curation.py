"""Stage 1, second half: what people decide about references, and the thresholds that they apply."""

from __future__ import annotations

from django.db import models

from annotate.database.moments import in_words
from annotate.models.constraints import append_only, one_of
from annotate.models.counted import DECISIONS
from annotate.models.identity import Reference, User
from annotate.models.tally import tallies_of


class Choice(models.TextChoices):
    """What a person says of a reference; `automatic` takes it back and leaves it to the filters."""

    KEEP = "keep"
    DROP = "drop"
    AUTOMATIC = "automatic"


class CurationDecision(models.Model):
    """One person's word on one reference. The newest counts; undoing is another row."""

    reference = models.ForeignKey(Reference, models.CASCADE, related_name="decisions")
    choice = models.CharField(max_length=16)
    author = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["reference", "id"]
        constraints = [one_of("choice", Choice.values)]
        triggers = [
            append_only(),
            # Two about one reference wait for each other, and for its curation and consent.
            *tallies_of(
                DECISIONS,
                first="""
                    PERFORM 1 FROM annotate_reference
                    WHERE id IN (SELECT reference_id FROM {rows}) ORDER BY id FOR NO KEY UPDATE;
                    PERFORM 1 FROM annotate_identitygroup WHERE id IN (
                        SELECT group_id FROM annotate_reference WHERE id IN (SELECT reference_id FROM {rows})
                    ) ORDER BY id FOR SHARE;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.choice}"


class AppliedThresholds(models.Model):
    """The thresholds that hold from this moment on; without a row, those of the settings hold."""

    values = models.JSONField()
    author = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "applied thresholds"
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"thresholds of {in_words(self.at)}"
