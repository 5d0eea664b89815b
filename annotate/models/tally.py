"""Counts that the database keeps of the loop's rows, so that no page counts them.

A count is the sum of its tallies. Whoever changes rows adds tallies and changes none: two annotators of a
round never wait for each other, and nothing is updated that would bloat. `annotate.tallies` folds them into
one row a count, again and again.

`annotate.models.counted` says what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import pgtrigger
from django.db import models

from annotate.models.counted import RECOUNTED


class Subject(models.TextChoices):
    """Of what something is counted."""

    ROUND = "round"
    ANNOTATOR = "annotator"
    VERSION = "version"
    SITE = "site"


class Tally(models.Model):
    """What one change added to a count, or what many did. `subject_id` is 0 for the site.

    Its subject may be gone: the tallies of what was deleted come to nothing, and are folded away.
    """

    subject = models.CharField(max_length=16)
    subject_id = models.BigIntegerField()
    name = models.CharField(max_length=40)
    # Of the votes of a round by person, whose; else 0.
    annotator_id = models.BigIntegerField(default=0, db_default=0)
    # Of votes, the day on which they were given (UTC).
    day = models.DateField(null=True)
    amount = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "tallies"
        indexes = [
            models.Index(
                fields=["subject", "subject_id", "name"],
                include=["annotator_id", "day", "amount"],
                name="tally_of_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.subject} {self.subject_id}: {self.amount:+}"


#: What a count is told by, and with its amount all columns.
KEY = "subject, subject_id, name, annotator_id, day"
COLUMNS = f"{KEY}, amount"

_INSERT = f"""
    INSERT INTO annotate_tally ({COLUMNS})
    SELECT {KEY}, sum(amount) FROM ({{counted}}) counted GROUP BY {KEY} HAVING sum(amount) <> 0;
"""

_OLD, _NEW = "SELECT -1 AS sign, * FROM old_rows", "SELECT 1 AS sign, * FROM new_rows"
_ONE_ROW = "SELECT -1 AS sign, OLD.* UNION ALL SELECT 1 AS sign, NEW.*"


def tallies(table: str, *, first: str = "") -> list[pgtrigger.Trigger]:
    """Triggers that count rows which come and go; each begins with `first`, where those are `{rows}`."""
    return tallies_of(*RECOUNTED[table], first=first)


def tallies_of(*counts: str, first: str = "") -> list[pgtrigger.Trigger]:
    """The same of counts that a recount finds elsewhere."""
    return [
        _statement(
            "tallies_new",
            pgtrigger.Insert,
            _rows(new="new_rows"),
            first.format(rows="new_rows") + _added(counts, _NEW),
        ),
        _statement(
            "tallies_gone",
            pgtrigger.Delete,
            _rows(old="old_rows"),
            first.format(rows="old_rows") + _added(counts, _OLD),
        ),
    ]


def tallies_of_changes(*counts: str, first: str = "") -> pgtrigger.Trigger:
    """A trigger that counts the rows which a statement changed."""
    both = _rows(old="old_rows", new="new_rows")
    return _statement(
        "tallies_changed", pgtrigger.Update, both, first + _added(counts, f"{_OLD} UNION ALL {_NEW}")
    )


def tallies_of_a_change(condition: str, *counts: str, first: str = "") -> pgtrigger.Trigger:
    """The same, row by row, of a table that is updated more often than its counts change."""
    return pgtrigger.Trigger(
        name="tallies_changed",
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition(f"({condition})"),
        func=f"{first}{_added(counts, _ONE_ROW)}RETURN NULL;",
    )


def _rows(**tables: str) -> pgtrigger.Referencing:
    return pgtrigger.Referencing(**tables)  # type: ignore[no-untyped-call]


def _statement(
    name: str, operation: pgtrigger.Operation, referencing: pgtrigger.Referencing, func: str
) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=referencing,
        func=f"{func}RETURN NULL;",
    )


def _added(counts: Sequence[str], changes: str) -> str:
    return "".join(_INSERT.format(counted=count.format(changes=changes)) for count in counts)
