"""Removals of files that must not happen."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from annotate.models import FileRemoval
from annotate.models.personal_data import NAMING


def claimed_removals() -> QuerySet[FileRemoval]:
    """Removals of what a row names: such a file stays, whoever asked for its removal."""
    is_named = Q(pk__in=[])
    for rows, column in NAMING:
        is_named |= Q(Exists(rows.filter(**{column: OuterRef("path")})))
        below = rows.filter(**{f"{column}__startswith": Concat(OuterRef("path"), Value("/"))})
        is_named |= Q(Exists(below), is_folder=True)
    return FileRemoval.objects.filter(is_named, traces__isnull=True)
