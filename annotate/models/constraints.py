"""Constraint shapes that several tables share."""

from __future__ import annotations

from collections.abc import Iterable

import pgtrigger
from django.db.models import CheckConstraint, Q


def one_of(field: str, values: Iterable[str]) -> CheckConstraint:
    """The column holds one of `values`, for every writer, not only for Django's forms."""
    return CheckConstraint(
        condition=Q(**{f"{field}__in": [str(value) for value in values]}),
        name=f"%(app_label)s_%(class)s_{field}_known",
        violation_error_message=f"{field} must be one of: {', '.join(values)}",
    )


def check(condition: Q, name: str) -> CheckConstraint:
    return CheckConstraint(condition=condition, name=f"%(app_label)s_%(class)s_{name}")


def append_only() -> pgtrigger.Trigger:
    """Rows are written once: a correction is another row."""
    return pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
