"""Files that are to go: written down in a transaction, removed after it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotate.models.constraints import check


class Erasure(models.Model):
    """One person's erasure: what was found, and whether all of it is gone.

    The names are keyed hashes, so that whoever asks again for the same name gets the same report and nobody
    can read the name out of it.
    """

    name_hash = models.CharField(max_length=64, db_index=True)
    source_hash = models.CharField(max_length=64)
    report = models.JSONField()
    requested_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"erasure {self.pk}"


class FileRemoval(models.Model):
    """A stored file that no row names any more, or a file out of which a person is to be struck.

    The row goes once that is done; whatever a crash or a full disk left is taken up again.
    """

    # Relative to the storage.
    path = models.CharField(max_length=500)
    is_folder = models.BooleanField(default=False)
    # A `annotate.privacy.traces.Traces`: the file stays, without what these say; null: it goes as a whole.
    traces = models.JSONField(null=True, blank=True)
    erasure = models.ForeignKey(Erasure, models.CASCADE, null=True, blank=True, related_name="removals")
    requested_at = models.DateTimeField(db_default=Now())
    # Why it could not be done the last time.
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(~Q(path="") & ~Q(path__startswith="/") & ~Q(path__contains=".."), "path_in_storage"),
            check(Q(traces__isnull=True) | Q(is_folder=False), "struck_from_files"),
        ]

    def __str__(self) -> str:
        return self.path
