"""Accounts, for leads; and everybody's own API token."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework.authtoken.models import Token

from annotate.accounts import queries
from annotate.accounts.accounts import SIGNING_IN, create_account, make_token, renew_password, revoke_token
from annotate.core.access import SignedInRequest, leads_only, signed_in
from annotate.core.parts import Order, part_of

ACCOUNTS_PER_PAGE = 100
BY_ROLE: Order = {"role": str, "username": str}


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def accounts(request: SignedInRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    name, role = request.POST.get("username", "").strip(), request.POST.get("role", "")
    try:
        user, password = create_account(name, role, actor=request.user)
    except ValueError as error:
        return _page(request, problem=str(error), status=422)
    return _page(request, made={"username": user.username, "password": password})


@leads_only
@require_POST
def password(request: SignedInRequest, user_id: int) -> HttpResponse:
    user = get_object_or_404(queries.accounts(), pk=user_id)
    return _page(request, made={"username": user.username, "password": renew_password(user, request.user)})


def _page(
    request: SignedInRequest, *, problem: str = "", made: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    part = part_of(queries.accounts(), request.GET.get("after", ""), ACCOUNTS_PER_PAGE, BY_ROLE)
    context = {"part": part, "roles": SIGNING_IN, "problem": problem, "made": made}
    return render(request, "annotate/accounts/accounts.html", context, status=status)


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def token(request: SignedInRequest) -> HttpResponse:
    """A person's own token. Who came in by a link works on the pages only."""
    if request.user.is_participant:
        raise Http404
    made = make_token(request.user) if request.method == "POST" else ""
    context = {"made": made, "token": Token.objects.filter(user=request.user).first()}
    return render(request, "annotate/accounts/token.html", context)


@signed_in
@require_POST
def revoke(request: SignedInRequest) -> HttpResponse:
    if revoke_token(request.user):
        messages.info(request, "Your token no longer works.")
    return redirect("token")
