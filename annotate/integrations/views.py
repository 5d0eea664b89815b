"""Webhooks, for leads: where other programs want to be told what, and what became of it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotate.core.access import SignedInRequest, leads_only
from annotate.core.parts import part_of
from annotate.integrations import queries as door_queries
from annotate.integrations import webhooks
from annotate.models import WebhookEndpoint, WebhookEvent

#: Events in words.
MEANINGS = {
    WebhookEvent.PAIR_RESOLVED: "a pair got another joint state",
    WebhookEvent.EXPORT_READY: "a set of preference pairs, or a file of judgments, is ready",
    WebhookEvent.ROUND_STARTED: "a round was opened",
    WebhookEvent.ROUND_FAILED: "a run of a round failed",
    WebhookEvent.ROUND_FINISHED: "the last run of a round is done",
}
#: Messages on the page, the newest of an endpoint.
SHOWN = 20
ENDPOINTS_PER_PAGE = 50


@leads_only
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def endpoints(request: SignedInRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    url = request.POST.get("url", "").strip()
    try:
        made = webhooks.add_endpoint(url, request.POST.getlist("events"), request.user)
    except ValueError as error:
        return _page(request, problem=str(error), url=url, status=422)
    return _page(request, made=made)


def _page(
    request: SignedInRequest,
    *,
    problem: str = "",
    url: str = "",
    made: WebhookEndpoint | None = None,
    status: int = 200,
) -> HttpResponse:
    shown = door_queries.visible_endpoints(request.user)
    part = part_of(shown, request.GET.get("after", ""), ENDPOINTS_PER_PAGE)
    context = {
        "part": part,
        "endpoints": part.rows,
        "events": MEANINGS.items(),
        "problem": problem,
        "url": url,
        "made": made,
    }
    return render(request, "annotate/integrations/webhooks.html", context, status=status)


@leads_only
def endpoint(request: SignedInRequest, endpoint_id: int) -> HttpResponse:
    shown = get_object_or_404(door_queries.visible_endpoints(request.user), pk=endpoint_id)
    newest = shown.messages.order_by("-id")[:SHOWN]
    dead = door_queries.dead_messages(shown).order_by("-id")[:SHOWN]
    context = {"endpoint": shown, "newest": newest, "dead": dead, "shown": SHOWN}
    return render(request, "annotate/integrations/webhook.html", context)


@leads_only
@require_POST
def end(request: SignedInRequest, endpoint_id: int) -> HttpResponse:
    ended = get_object_or_404(door_queries.visible_endpoints(request.user), pk=endpoint_id)
    webhooks.end_endpoint(ended, request.user)
    messages.info(request, f"{ended.url} is told nothing any more.")
    return redirect("webhooks")


@leads_only
@require_POST
def resend(request: SignedInRequest, message_id: int) -> HttpResponse:
    message = get_object_or_404(door_queries.visible_messages(request.user), pk=message_id)
    if webhooks.send_again(message, request.user):
        messages.info(request, "It is sent again within seconds, under its old number.")
    else:
        messages.error(request, f"It is {message.state}; only a dead message can be sent again.")
    return redirect("webhook", endpoint_id=message.endpoint_id)
