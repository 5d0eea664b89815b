"""What people may agree to, and when that holds: the one condition that everybody asks for."""

from __future__ import annotations

from django.db import models

#: Null is unknown, and unknown is no consent. The day is the database's, not that of the process that asks.
_GIVEN = "(coalesce({uses}, false) AND coalesce({ends} >= CURRENT_DATE, true))"


class Use(models.TextChoices):
    """In the words of cards and datasets (`generator.curation.card.USES`)."""

    SHOW = "show", "show to annotators"
    TRAIN = "train", "train models"
    EVALUATE = "evaluate", "evaluate models"
    PUBLISH = "publish", "publish their media"


def given_condition(uses: str, ends: str, *wanted: Use) -> str:
    """SQL over two columns of a person: whether they agreed to all that is wanted.

    Without anything wanted: whether they agreed to something.
    """
    if not wanted:
        return _GIVEN.format(uses=f"cardinality({uses}) > 0", ends=ends)
    array = ", ".join(f"'{use.value}'" for use in wanted)
    return _GIVEN.format(uses=f"{uses} @> ARRAY[{array}]::varchar[]", ends=ends)


def given_sql(person: str, *wanted: Use) -> str:
    """The same for a statement in which `person` is the alias of a row of people."""
    return given_condition(f"{person}.consent_uses", f"{person}.consent_expires_on", *wanted)
