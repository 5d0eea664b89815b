"""What leads decide about people and their references. Every word of theirs is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.models import Choice, CurationDecision, IdentityGroup, Reference, Use, User

#: What a lead may say of a person.
EDITABLE = ("source", "licence", "consent_uses", "consent_expires_on", "consent_note")
#: Who states the consent of drawn people.
PORTRAIT_WORLD = "the portrait world"


@transaction.atomic
def decide(reference: Reference, choice: Choice, author: User) -> CurationDecision | None:
    """Keep or drop a reference by hand, or leave it to the filters again; None when that holds already."""
    Reference.objects.select_for_update().get(pk=reference.pk)
    last = reference.decisions.order_by("id").last()
    if choice == (last.choice if last else Choice.AUTOMATIC):
        return None
    return CurationDecision.objects.create(reference=reference, choice=choice, author=author)


@transaction.atomic
def choose_primary(group: IdentityGroup, reference: Reference | None, actor: User) -> None:
    """Make a reference the person's primary; None leaves the choice to the rating again."""
    if reference is not None and reference.group_id != group.pk:
        raise ValueError(f"{reference} is not a reference of {group}; choose one of theirs")
    IdentityGroup.objects.filter(pk=group.pk).update(primary=reference)
    record_event("choose_primary", group, actor=actor, reference=reference.pk if reference else None)


@transaction.atomic
def describe_person(group: IdentityGroup, values: dict[str, Any], actor: User) -> bool:
    """Correct a person's source, licence and consent; False when nothing changes.

    Whoever changes the uses, or how long they hold, has stated the consent.

    Raises:
        ValueError: a value cannot be stored; the message names it.
    """
    values = {name: _checked(name, values[name]) for name in EDITABLE if name in values}
    before = IdentityGroup.objects.select_for_update().get(pk=group.pk)
    changed = {name: value for name, value in values.items() if getattr(before, name) != value}
    if not changed:
        return False
    twin = IdentityGroup.objects.filter(source=changed.get("source", before.source), name=before.name)
    if twin.exclude(pk=group.pk).exists():
        raise ValueError(f"source {changed['source']!r} has a person called {before.name!r} already")
    uses = values.get("consent_uses", before.consent_uses)
    stated = _statement(uses, by=actor) if changed.keys() & {"consent_uses", "consent_expires_on"} else {}
    IdentityGroup.objects.filter(pk=group.pk).update(**changed, **stated)
    said = {name: [_read(name, getattr(before, name)), _read(name, value)] for name, value in changed.items()}
    record_event("describe_person", group, actor=actor, changed=said)
    return True


@transaction.atomic
def state_consent(group: IdentityGroup, uses: Sequence[str], source: str, **more: Any) -> bool:
    """Take over what an import says of a person of whom nobody had stated anything; False where somebody had.

    `more` are other columns of the consent.
    """
    unknown = IdentityGroup.objects.filter(pk=group.pk, consent_uses=None)
    if not unknown.update(consent_uses=list(uses), **_statement(uses, source=source), **more):
        return False
    record_event("state_consent", group, uses=list(uses), source=source)
    return True


def stated(uses: Sequence[str], source: str) -> dict[str, Any]:
    """Columns of a person who comes with what an import says of their consent."""
    return {"consent_uses": list(uses), **_statement(uses, source=source)}


def _statement(uses: Sequence[str] | None, *, by: User | None = None, source: str = "") -> dict[str, Any]:
    """Who states the uses, and when; of what is unknown nobody has."""
    if uses is None:
        return {"consent_stated_by": None, "consent_stated_in": "", "consent_stated_at": None}
    return {"consent_stated_by": by, "consent_stated_in": source[:200], "consent_stated_at": Now()}


def _read(name: str, value: Any) -> str:
    if name == "consent_uses":
        return "unknown" if value is None else ", ".join(value) or "none"
    return str(value or "")


def _checked(name: str, value: Any) -> Any:
    if name == "consent_uses":
        return None if value is None else _checked_uses(value)
    value = " ".join(value.replace("\0", "").split())
    if name == "consent_expires_on":
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            raise ValueError(f"consent until {value!r} is not a day; write it like 2030-12-31") from None
    if len(value) > 200:
        raise ValueError(f"{name.replace('_', ' ')} has {len(value)} characters; 200 are allowed")
    if name == "source" and not value:
        raise ValueError("source is empty; say where the media come from")
    return value


def _checked_uses(names: Sequence[str]) -> list[str]:
    if unknown := [name for name in names if name not in Use.values]:
        raise ValueError(f"consent to {unknown[0]!r} is unknown; the uses are {', '.join(Use.values)}")
    return [use for use in Use.values if use in names]
