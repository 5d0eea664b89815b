"""For machines that watch the site."""

from __future__ import annotations

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from annotate.rounds import queries


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Ready when the database answers and the storage can be written."""
    problems = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        problems.append(f"database: {error}".strip())
    if not settings.STORAGE_ROOT.is_dir():
        problems.append("storage: the folder is missing")
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counts for Prometheus; no names, no people."""
    registry = CollectorRegistry()
    for name, (text, labelled) in queries.counts_for_metrics().items():
        gauge = Gauge(name, text, ["label"], registry=registry)
        for label, count in labelled.items():
            gauge.labels(label).set(count)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
