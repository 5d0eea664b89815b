"""Work that one worker does at a time."""

from __future__ import annotations

from django.db import models

#: Starts of a run, of a file or of a curation. What loses its worker so often is likely to be why it is
#: lost, and ends as failed.
MAX_ATTEMPTS = 3


class Claim(models.Model):
    """Who does a work that must not be done twice at once; nobody's any more once its time is over.

    A row on the database's clock rather than a lock of a session: a pooler lends one session to many.
    """

    name = models.CharField(max_length=100, primary_key=True)
    worker = models.UUIDField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
