"""Keeping tallies few, and holding them against what they count."""

from __future__ import annotations

from dataclasses import dataclass

from annotate.database.statements import rows
from annotate.models.counted import recounted
from annotate.models.tally import COLUMNS, KEY

# Whoever folds at the same time finds those rows gone, and adds nothing of them.
_FOLD = f"""
WITH several AS (
    SELECT {KEY} FROM annotate_tally GROUP BY {KEY} HAVING count(*) > 1 OR sum(amount) = 0
), gone AS (
    DELETE FROM annotate_tally t USING several s
    WHERE (t.subject, t.subject_id, t.name, t.annotator_id, coalesce(t.day, 'infinity'))
        = (s.subject, s.subject_id, s.name, s.annotator_id, coalesce(s.day, 'infinity'))
    RETURNING t.*
), folded AS (
    INSERT INTO annotate_tally ({COLUMNS})
    SELECT {KEY}, sum(amount) FROM gone GROUP BY {KEY} HAVING sum(amount) <> 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM folded)
"""

# One statement sees one moment, so people may vote meanwhile.
_DIFFERENCES = f"""
SELECT {KEY}, sum(counted) AS counted, sum(kept) AS kept FROM (
    SELECT {KEY}, amount AS counted, 0 AS kept FROM ({recounted()}) counted
    UNION ALL SELECT {KEY}, 0, amount FROM annotate_tally
) both_sides GROUP BY {KEY} HAVING sum(counted) <> sum(kept)
"""
_CORRECT = f"""
WITH wrong AS ({_DIFFERENCES})
INSERT INTO annotate_tally ({COLUMNS}) SELECT {KEY}, counted - kept FROM wrong
RETURNING {KEY}
"""


@dataclass(frozen=True)
class Difference:
    """A count that is kept wrongly."""

    subject: str
    subject_id: int
    name: str
    counted: int
    kept: int

    def __str__(self) -> str:
        return f"{self.name} of {self.subject} {self.subject_id}: {self.kept} kept, {self.counted} counted"


def fold() -> int:
    """Make one row of each count; how many rows fewer there are."""
    return int(rows(_FOLD)[0][0])


def differences() -> list[Difference]:
    """Counts that are not what a recount finds: none, unless somebody wrote past the triggers."""
    return [
        Difference(subject, key, name, int(counted), int(kept))
        for subject, key, name, _, _, counted, kept in rows(_DIFFERENCES)
    ]


def correct() -> int:
    """Count everything anew and add what is missing; how many counts were wrong."""
    return len(rows(_CORRECT))
