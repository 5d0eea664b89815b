"""How a person is recognised in what runs keep, and how they are struck out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from annotate.storage.opening import site_storage
from generator.validation import Stored, record

#: In place of a line that said something of the person; lines are counted, so none is dropped.
STRUCK = "(struck out: it named a person who was erased)"


@record
class Traces(Stored):
    """How records name a person, and the ids of their instances and videos.

    `texts` occur nowhere but with this person: names of folders, hashes, the full name of a record. Videos of
    an evaluation are no `samples`: they are called `<instance>-<seed>`.
    """

    texts: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()

    @cached_property
    def _ids(self) -> dict[str, frozenset[str]]:
        kinds = {"identity": self.identities, "instance_id": self.instances, "sample_id": self.samples}
        return {key: frozenset(ids) for key, ids in kinds.items()}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Without a text nothing matches.
        return re.compile(_any(self.texts) or r"(?!)")

    @property
    def regex(self) -> str:
        """What `names` looks for, for PostgreSQL, in a record as `jsonb` prints it."""
        parts = [f'"{key}": "({_any(ids)})"' for key, ids in self._ids.items() if ids]
        if self.instances:
            parts.append(f'"sample_id": "({_any(self.instances)})-[^-"]*"')
        return "|".join([*parts, *([_any(self.texts)] if self.texts else [])]) or "(?!)"

    def are_in(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def names(self, item: Any) -> bool:
        """Whether a record is of this person: by one of its ids, or by a text anywhere in it."""
        if isinstance(item, str):
            return self.are_in(item)
        if isinstance(item, list):
            return any(self.names(part) for part in item)
        if not isinstance(item, dict):
            return False
        if any(str(item.get(key)) in ids for key, ids in self._ids.items()):
            return True
        of_instance = str(item.get("sample_id")).rpartition("-")[0]
        return of_instance in self._ids["instance_id"] or any(
            self.are_in(key) or self.names(part) for key, part in item.items()
        )

    def strike(self, value: Any) -> Any:
        """The value without the records of this person; what is no record of a list loses single fields."""
        if isinstance(value, list):
            return [self.strike(item) for item in value if not self.names(item)]
        if isinstance(value, dict):
            return {
                key: self.strike(part)
                for key, part in value.items()
                if not self.are_in(key) and not (isinstance(part, str) and self.are_in(part))
            }
        return value

    def strike_text(self, text: str) -> str:
        return "\n".join(STRUCK if self.are_in(line) else line for line in text.split("\n"))

    def struck_file(self, key: str) -> str | None:
        """The text of a stored file without this person; None where they are not in it, or there is no file.

        A torn last line of metrics stays as it is: it is no record yet, and the run writes it again.
        """
        try:
            text = b"".join(site_storage().stream(key)).decode(errors="replace")
        except FileNotFoundError:
            return None
        suffix = PurePosixPath(key).suffix
        if suffix == ".json":
            value = json.loads(text)
            changed = self.strike(value)
            return None if changed == value else _dump(changed)
        if suffix == ".jsonl":
            clean = "\n".join(map(self._struck_line, text.split("\n")))
        else:
            clean = self.strike_text(text)
        return None if clean == text else clean

    def _struck_line(self, line: str) -> str:
        try:
            return "{}" if self.names(json.loads(line)) else line
        except ValueError:
            return "{}" if self.are_in(line) else line


def _any(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts))


def _dump(value: Any) -> str:
    """As `generator.rundir` writes it."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def strike_out(key: str, traces: Traces) -> None:
    """Take a person out of a stored file at one stroke; safe to repeat."""
    text = traces.struck_file(key)
    if text is not None:
        site_storage().put(key, text.encode())
