"""Lists in parts."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Parts(CursorPagination):
    """By the key of the last row that was given, so that a part costs the same wherever it is.

    Who asks for more than fits gets as many as do.
    """

    page_size_query_param = "limit"
    max_page_size = 1000

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        """The list's own, which is by key."""
        return tuple(queryset.query.order_by or queryset.model._meta.ordering)
