from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework.authtoken.models import Token

from annotate.accounts.tokens import make_token, revoke_token
from annotate.core.access import SignedInRequest, signed_in


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
