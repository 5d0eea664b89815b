from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_POST

from annotate.accounts import queries
from annotate.accounts.accounts import SIGNING_IN, create_account, renew_password
from annotate.core.access import SignedInRequest, leads_only


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
    context = {"accounts": queries.accounts(), "roles": SIGNING_IN, "problem": problem, "made": made}
    return render(request, "annotate/accounts/accounts.html", context, status=status)
