"""Who signs in."""

from __future__ import annotations

from django.db.models import QuerySet

from annotate.models import Subject, User
from annotate.tallies.queries import kept_count


def accounts() -> QuerySet[User]:
    """Who signs in by name; those who come in by an entry link are on its page."""
    people = User.objects.exclude(role=User.Role.PARTICIPANT)
    return people.annotate(num_judged=kept_count(Subject.ANNOTATOR, "judged."))
