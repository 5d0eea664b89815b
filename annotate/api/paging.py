"""Lists in parts."""

from __future__ import annotations

from rest_framework.pagination import LimitOffsetPagination


class Pages(LimitOffsetPagination):
    """`limit` and `offset`; who asks for more than fits gets as many as do."""

    max_limit = 1000
