"""Accounts: made by leads and by `manage.py`; nobody signs up. Each may have a token of the API."""

from __future__ import annotations

import secrets

from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework.authtoken.models import Token

from annotate.core.audit import record_event
from annotate.models import User

#: Roles of people with a name and a password.
SIGNING_IN = (str(User.Role.ANNOTATOR), str(User.Role.LEAD))


@transaction.atomic
def create_account(
    username: str, role: str, *, is_simulated: bool = False, actor: User | None = None
) -> tuple[User, str]:
    """Make an account and its first password, which is shown once and stored only as a hash.

    Raises:
        ValueError: the name is taken or not allowed, or the role is unknown.
    """
    if role not in SIGNING_IN:
        raise ValueError(f"role is {role[:40]!r}; it must be one of: {', '.join(SIGNING_IN)}")
    if not username:
        raise ValueError("the name is empty; give one of letters, digits and @ . + - _, at most 150 of them")
    if User.objects.filter(username__iexact=username).exists():
        raise ValueError(f"the name {username!r} is taken; choose another one")
    password = secrets.token_urlsafe(9)
    user = User(username=username, role=role, is_simulated=is_simulated, is_staff=role == User.Role.LEAD)
    user.set_password(password)
    try:
        user.full_clean()
    except ValidationError as error:
        raise ValueError(f"{username[:40]!r}: {' '.join(error.messages)}") from None
    user.save()
    record_event("create_account", user, actor=actor, role=role, is_simulated=is_simulated)
    return user, password


@transaction.atomic
def renew_password(user: User, actor: User | None = None) -> str:
    password = secrets.token_urlsafe(9)
    user.set_password(password)
    user.save(update_fields=["password"])
    record_event("renew_password", user, actor=actor)
    return password


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
