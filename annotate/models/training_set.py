"""What supervised training learns from, frozen like an export."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotate.models.constraints import check
from annotate.models.identity import IdentityGroup


class TrainingSet(models.Model):
    """Instances with targets: those of people here, or a folder that a worker has read.

    Of a folder the site knows only those people whose files it has, too; for the others a lead vouched.
    """

    name = models.CharField(max_length=200)
    # Of one's own people in the storage; else where the workers find it.
    folder = models.CharField(max_length=500)
    is_outside = models.BooleanField(default=False)
    content_hash = models.CharField(max_length=64, unique=True)
    people = models.ManyToManyField(IdentityGroup, related_name="training_sets")
    num_instances = models.PositiveIntegerField()
    # Counts by licence, frame rate, size and kind of reference; see `rlhf.training.set_facts`.
    facts = models.JSONField()
    # Why the files are gone, once a person's data had to be erased from them.
    withdrawn = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [check(Q(num_instances__gte=1), "holds_something")]

    def __str__(self) -> str:
        return self.name

    @property
    def cache_folder(self) -> str:
        """Where its trainings keep what they encoded, once for all of a base; it goes when the set goes."""
        return f"training-sets/{self.content_hash[:16]}.cache"
