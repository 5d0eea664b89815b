"""Tokens of the API: one a person, made and revoked by themselves."""

from __future__ import annotations

from django.db import transaction
from rest_framework.authtoken.models import Token

from annotate.core.audit import record_event
from annotate.models import User


@transaction.atomic
def make_token(user: User) -> str:
    """A new token; the one before it stops working at once."""
    Token.objects.filter(user=user).delete()
    token = Token.objects.create(user=user)
    record_event("make_token", user, actor=user)
    return str(token.key)


@transaction.atomic
def revoke_token(user: User) -> bool:
    """End the person's token; False when there was none."""
    gone, _ = Token.objects.filter(user=user).delete()
    if gone:
        record_event("revoke_token", user, actor=user)
    return bool(gone)
