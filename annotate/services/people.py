"""What leads decide about people and their references. Every word of theirs is kept."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import transaction

from annotate.models import Choice, CurationDecision, IdentityGroup, Reference, User
from annotate.services.audit import record_event

#: What a lead may say of a person.
EDITABLE = ("source", "licence", "consent_scope", "consent_expires_on")


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
    IdentityGroup.objects.filter(pk=group.pk).update(**changed)
    said = {name: [str(getattr(before, name) or ""), str(value or "")] for name, value in changed.items()}
    record_event("describe_person", group, actor=actor, changed=said)
    return True


def _checked(name: str, value: str) -> str | date | None:
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
