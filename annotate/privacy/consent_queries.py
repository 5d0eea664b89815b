"""Whether people agreed to a use.

Everybody asks here: `given` and `given_sql` choose, `refusal` says who did not and what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    Expression,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    TextChoices,
    Value,
    When,
)
from django.db.models.sql.compiler import SQLCompiler

from annotate.models import IdentityGroup, Round, RoundKind, Split, Use
from annotate.models.consent import given_condition
from annotate.models.consent import given_sql as given_sql

#: So many people are named in a sentence.
MAX_NAMED = 3


class Consent(TextChoices):
    """How things stand between a person and a use, or all uses together."""

    GIVEN = "given"
    REFUSED = "refused"
    ENDED = "ended"
    UNKNOWN = "unknown"


#: What is to be done about it, for whoever reads that somebody did not agree.
_WHY = {
    Consent.UNKNOWN: ("is not stated", "state it on the person's page, or with import_identities --consent"),
    Consent.REFUSED: ("is refused", "leave them out, or correct it on the person's page"),
    Consent.ENDED: ("has ended", "renew it on the person's page, or erase the person"),
}


class _Given(Func):
    """`given_condition` over the columns of a person, however the query came to them."""

    output_field = BooleanField()

    def as_sql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,
        function: str | None = None,
        template: str | None = None,
        arg_joiner: str | None = None,
        **extra_context: Any,
    ) -> tuple[str, tuple[str | int, ...]]:
        uses, ends, *wanted = self.get_source_expressions()
        (uses_sql, uses_values), (ends_sql, ends_values) = compiler.compile(uses), compiler.compile(ends)
        names = (Use(use.value) for use in wanted)
        return given_condition(uses_sql, ends_sql, *names), (*uses_values, *ends_values)


def given(person: str, *wanted: Use) -> Expression:
    """Whether a person agreed to all that is wanted; without any, to something.

    `person` is where the query finds the person's row, such as `pair__instance__group`; or empty.
    """
    prefix = f"{person}__" if person else ""
    uses, ends = F(f"{prefix}consent_uses"), F(f"{prefix}consent_expires_on")
    return _Given(uses, ends, *(Value(use.value) for use in wanted))


def today() -> date:
    """The database's day, which is the one that consent ends by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_DATE")
        day: date = cursor.fetchone()[0]
    return day


def may_be_drawn(person: str, *, with_target: bool) -> Q:
    """Whether instances may be drawn from a person.

    Held-out people are evaluated on; the others are learned from where there is a target, and else shown.
    """
    held_out, wanted = is_held_out(person), Use.TRAIN if with_target else Use.SHOW
    return held_out & Q(given(person, Use.EVALUATE)) | ~held_out & Q(given(person, wanted))


def is_held_out(person: str = "") -> Q:
    return Q(**{f"{person}__split__in" if person else "split__in": [Split.EVAL, Split.BENCHMARK]})


def who_may_not_be_drawn(people: QuerySet[IdentityGroup], *, with_target: bool) -> str:
    """The refusal of those from whom no instances may be drawn."""
    says = refusal(people.filter(is_held_out()), Use.EVALUATE)
    others = refusal(people.exclude(is_held_out()), Use.TRAIN if with_target else Use.SHOW)
    return f"{others} {says}".strip()


def with_consent(people: QuerySet[IdentityGroup], *wanted: Use) -> QuerySet[Any]:
    """People with `consent`: how things stand with the uses that are wanted, or with all."""
    agreed = Q(consent_uses__contains=[use.value for use in wanted]) if wanted else ~Q(consent_uses=[])
    return people.annotate(
        consent=Case(
            When(Q(given("", *wanted)), then=Value(Consent.GIVEN.value)),
            When(consent_uses=None, then=Value(Consent.UNKNOWN.value)),
            When(agreed, then=Value(Consent.ENDED.value)),
            default=Value(Consent.REFUSED.value),
        )
    )


def refusal(people: QuerySet[IdentityGroup], *wanted: Use) -> str:
    """Who of these people did not agree to what is wanted, and what to do; empty where everybody did.

    One sentence for each reason.
    """
    without = with_consent(people, *wanted).exclude(consent=Consent.GIVEN).order_by()
    counts = dict(without.values_list("consent").annotate(Count("pk", distinct=True)))
    names = without.order_by("name").values_list("name", flat=True).distinct()
    return " ".join(
        sentence(reason, list(names.filter(consent=reason)[:MAX_NAMED]), *wanted, count=counts[reason])
        for reason in _WHY
        if reason in counts
    )


def refusal_among(people: QuerySet[IdentityGroup], ids: Collection[int], *wanted: Use) -> str:
    """The same of those of the people who have one of many ids, which are compared here."""
    if not ids:
        return ""
    names: dict[Consent, list[str]] = {reason: [] for reason in _WHY}
    without = with_consent(people, *wanted).exclude(consent=Consent.GIVEN).order_by("name")
    for pk, name, reason in without.values_list("pk", "name", "consent").iterator():
        if pk in ids:
            names[Consent(reason)].append(name)
    return " ".join(sentence(reason, of_reason, *wanted) for reason, of_reason in names.items() if of_reason)


def sentence(reason: Consent, names: Sequence[str], *wanted: Use, count: int | None = None) -> str:
    """That these people did not agree, who are `count` where not all are given; empty where nobody is."""
    if not names:
        return ""
    named = names[:MAX_NAMED]
    others = (count or len(names)) - len(named)
    more = f" and {others} more" if others else ""
    says, remedy = _WHY[reason]
    to = f" to {' and '.join(use.value for use in wanted)}" if wanted else ""
    return f"Consent{to} {says} for {', '.join(named)}{more}; {remedy}."


def uses_of(round: Round) -> tuple[Use, ...]:
    """What people have to agree to before a round's videos of them are made."""
    return (Use.SHOW, Use.EVALUATE) if round.kind == RoundKind.COMPARISON else (Use.SHOW,)


def people_of(round: Round) -> QuerySet[IdentityGroup]:
    return IdentityGroup.objects.filter(Exists(round.pairs.filter(instance__group=OuterRef("pk"))))
