"""Who may open a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.middleware import HtmxDetails

from annotate.models import User

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


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
