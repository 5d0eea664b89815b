"""Reads of the counts that the database keeps; see `annotate.models.tally`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date

from django.db.models import DateField, Func, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from annotate.database.statements import rows
from annotate.models import Round, Subject, Tally


class _Today(Func):
    """The database's day, which is the one that consent ends by."""

    template = "CURRENT_DATE"
    output_field = DateField()


#: Of the site there is one.
SITE = 0


def counts_of(subject: Subject, keys: Collection[int]) -> dict[int, dict[str, int]]:
    """Every count of these subjects by name, in one statement; what is not there is none."""
    named = Tally.objects.filter(subject=subject, subject_id__in=keys, annotator_id=0)
    counts: dict[int, dict[str, int]] = {key: defaultdict(int) for key in keys}
    for key, name, amount in named.values_list("subject_id", "name").annotate(Sum("amount")):
        counts[key][name] = amount
    return counts


_COUNT = """
SELECT coalesce(sum(amount), 0)::bigint FROM annotate_tally
WHERE subject = %s AND subject_id = %s AND name = %s AND annotator_id = 0
"""


def count_of(subject: Subject, key: int, name: str) -> int:
    """One count of one subject. The judging page shows one with every pair, so the ORM is spared."""
    return int(rows(_COUNT, [subject.value, key, name])[0][0])


def counts_of_site() -> dict[str, int]:
    """Those of today: what may be used until a day that is over is not counted any more."""
    standing = Tally.objects.filter(Q(day=None) | Q(day__gte=_Today()), subject=Subject.SITE, subject_id=SITE)
    counts: dict[str, int] = defaultdict(int)
    counts.update(standing.values_list("name").annotate(amount=Sum("amount")))
    return counts


def summed(subject: Subject, prefix: str, *, among: Iterable[int] | None = None) -> dict[str, int]:
    """Counts whose name begins with `prefix`, by the rest of it, over all subjects or over some."""
    tallies = Tally.objects.filter(subject=subject, name__startswith=prefix, annotator_id=0)
    if among is not None:
        tallies = tallies.filter(subject_id__in=among)
    amounts = tallies.values_list("name").annotate(amount=Sum("amount"))
    return {name.removeprefix(prefix): amount for name, amount in amounts if amount}


def kept_count(subject: Subject, prefix: str) -> Coalesce:
    """The sum of the counts of each row of a query whose names begin with `prefix`."""
    own = Tally.objects.filter(subject=subject, subject_id=OuterRef("pk"), name__startswith=prefix)
    summed = own.order_by().values("subject_id").annotate(number=Sum("amount")).values("number")
    return Coalesce(Subquery(summed, output_field=IntegerField()), 0)


def votes_of_people(rounds: Collection[int]) -> dict[int, dict[int, int]]:
    """How many votes of each round each person gave, on pairs that are no gold."""
    voted = Tally.objects.filter(subject=Subject.ROUND, subject_id__in=rounds, name="voted")
    amounts = voted.values_list("subject_id", "annotator_id").annotate(amount=Sum("amount"))
    given: dict[int, dict[int, int]] = defaultdict(dict)
    for round_id, annotator, amount in amounts:
        if amount:
            given[round_id][annotator] = amount
    return given


def votes_of_days(round: Round, since: date) -> dict[tuple[str, date], int]:
    """Votes of a round by track and day, on pairs that are no gold."""
    judged = Tally.objects.filter(subject=Subject.ROUND, subject_id=round.pk, name__startswith="judged.")
    amounts = judged.filter(day__gte=since).values_list("name", "day").annotate(amount=Sum("amount"))
    return {(name.removeprefix("judged."), day): amount for name, day, amount in amounts if day and amount}
