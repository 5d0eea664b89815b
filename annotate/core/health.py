"""For machines that watch the site."""

from __future__ import annotations

import logging
from typing import Any

from django.core.cache import cache
from django.db import Error
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from annotate.database.statements import rows
from annotate.models import Round, Run, Shard, Subject
from annotate.storage.interface import StorageError
from annotate.storage.opening import site_storage
from annotate.tallies.queries import summed

logger = logging.getLogger(__name__)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Ready when the database answers and the storage can be used."""
    problems = []
    try:
        rows("SELECT 1")
    except Error as error:
        problems.append(f"database: {error}".strip())
    try:
        site_storage().check()
    except StorageError as error:
        # Anybody may ask, and the line says where the storage is.
        logger.warning("%s", error)
        problems.append("storage: it cannot be used; see the log")
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counts for Prometheus; no names, no people."""
    registry = CollectorRegistry()
    for name, (text, labelled) in counts_for_metrics().items():
        gauge = Gauge(name, text, ["label"], registry=registry)
        for label, count in labelled.items():
            gauge.labels(label).set(count)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


#: How long monitors are told the same number of wanted votes; watched vote by vote, it would reveal gold.
WANTED_EVERY_S = 600


def counts_for_metrics() -> dict[str, tuple[str, dict[str, int]]]:
    """Gauges for a monitor: name -> (text, label -> count)."""
    return {
        "annotate_runs": ("Runs by status", _counts(Run.objects.all(), "status")),
        "annotate_shards": ("Shards of runs by status", _counts(Shard.objects.all(), "status")),
        "annotate_open_slots": (
            "Wanted votes by track, counted every ten minutes",
            cache.get_or_set("wanted-votes", _wanted_votes, WANTED_EVERY_S) or {},
        ),
        "annotate_judgments": (
            "Judged slots by track",
            summed(Subject.ANNOTATOR, "judged."),
        ),
        "annotate_pairs": ("Pairs by joint state", summed(Subject.ROUND, "state.")),
    }


def _counts(rows: QuerySet[Any], column: str) -> dict[str, int]:
    return dict(rows.values_list(column).annotate(Count("id")))


def _wanted_votes() -> dict[str, int]:
    """Gold is none of them. Whoever saw the number with every vote would see which votes it leaves out."""
    rounds = Round.objects.filter(is_open=True).values_list("pk", flat=True)
    wanted = summed(Subject.ROUND, "wanted.", among=rounds)
    judged = summed(Subject.ROUND, "judged.", among=rounds)
    return {track: count - judged.get(track, 0) for track, count in wanted.items()}
