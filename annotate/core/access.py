"""Who may open a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.middleware import HtmxDetails
from rest_framework import authentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed

from annotate.database.statements import first_row
from annotate.models import Export, Reference, Round, Run, User, VideoSample

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


def has_seen(request: SignedInRequest, news: str) -> bool:
    """Whether a page that asks again and again has what it would get; it is answered 204, with nothing."""
    return bool(request.htmx and news) and request.GET.get("seen") == news


View = Callable[Concatenate[SignedInRequest, P], HttpResponseBase]


def signed_in(view: View[P]) -> View[P]:
    return login_required(view)


def leads_only(view: View[P]) -> View[P]:
    """A lead's page does not exist for anybody else: 404, not 403."""

    def wrapped(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_lead:
            raise Http404
        return view(request, *args, **kwargs)

    return signed_in(update_wrapper(wrapped, view))


_USER = [field.attname for field in User._meta.concrete_fields]
_USER_OF_TOKEN = f"""
SELECT {", ".join(f"u.{name}" for name in _USER)}
FROM authtoken_token t JOIN annotate_user u ON u.id = t.user_id WHERE t.key = %s
"""


class TokenAuthentication(authentication.TokenAuthentication):
    """By a statement that the ORM does not put together anew for every request."""

    def authenticate_credentials(self, key: str) -> tuple[User, Token]:
        row = first_row(_USER_OF_TOKEN, [key])
        if row is None:
            raise AuthenticationFailed("Invalid token.")
        user = User.from_db(connection.alias, _USER, row)
        if not user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        return user, Token(key=key, user=user)


def visible_rounds(user: User) -> QuerySet[Round]:
    """Rounds are the leads' business; to everybody else they do not exist."""
    rounds = Round.objects.select_related("policy")
    return rounds if user.is_lead else rounds.none()


def visible_samples(user: User) -> QuerySet[VideoSample]:
    return VideoSample.objects.exclude(path="") if user.is_lead else VideoSample.objects.none()


def visible_references(user: User) -> QuerySet[Reference]:
    return Reference.objects.all() if user.is_lead else Reference.objects.none()


def visible_exports(user: User) -> QuerySet[Export]:
    exports = Export.objects.select_related("round")
    return exports if user.is_lead else exports.none()


def visible_runs(user: User) -> QuerySet[Run]:
    runs = Run.objects.select_related(
        "round", "export", "training_set", "policy", "launched_by", "approved_by", "model_version"
    )
    return runs if user.is_lead else runs.none()
