"""Fields that take the JSON type that they describe and no other: `"12"` is no number, 1 is not true."""

from __future__ import annotations

import math
import re
from typing import Any
from uuid import UUID

from rest_framework import serializers

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


class Number(serializers.FloatField):
    """A finite number: no text, no NaN, which a database could not store as JSON."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
            self.fail("invalid")
        return super().to_internal_value(data)


class Integer(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        # JSON knows one kind of number, so 2.0 is an integer.
        if isinstance(data, bool) or not isinstance(data, int | float) or data % 1:
            self.fail("invalid")
        return super().to_internal_value(int(data))


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Text(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Uuid(serializers.UUIDField):
    """With its hyphens; other spellings of the same number are other texts to a program that compares."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str) or not _UUID.match(data):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)
