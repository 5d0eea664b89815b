"""JSON of strangers. On deep nesting Python's reader gives up with an error that nobody expects of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

#: Deeper than anything that is sent here; what is stored must be written and read again, too.
MAX_NESTED = 32


class ShallowDecoder(json.JSONDecoder):
    """Refuses what is nested deeper than `MAX_NESTED`, and numbers that are none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"parse_constant": _no_number})

    def decode(self, text: str, *args: Any) -> Any:
        too_deep = f"it is nested deeper than {MAX_NESTED} levels"
        try:
            found = super().decode(text, *args)
        except RecursionError:
            raise json.JSONDecodeError(too_deep, "", 0) from None
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # a number of thousands of digits
            raise json.JSONDecodeError(str(error), "", 0) from None
        if _is_deep(found):
            raise json.JSONDecodeError(too_deep, "", 0)
        return found


def _no_number(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no number of JSON", "", 0)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTED):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, dict | list) for inner in level)


class ShallowJSONParser(JSONParser):
    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return json.loads(stream.read(), cls=ShallowDecoder)
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from None
