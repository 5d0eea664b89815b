"""Who signs in."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from annotate.models import User


def accounts() -> QuerySet[User]:
    """Who signs in by name; those who come in by an entry link are on its page."""
    return (
        User.objects.exclude(role=User.Role.PARTICIPANT)
        .annotate(num_judged=Count("slots", filter=Q(slots__judged_at__isnull=False)))
        .order_by("role", "username")
    )
