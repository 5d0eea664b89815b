"""For machines that watch the site."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import cache
from django.db import Error, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from annotate.models import PreferencePair, Run, Shard, Slot


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
        "annotate_runs": ("Runs by status", dict(Run.objects.values_list("status").annotate(Count("id")))),
        "annotate_shards": (
            "Shards of sampling runs by status",
            dict(Shard.objects.order_by().values_list("status").annotate(Count("id"))),
        ),
        "annotate_open_slots": (
            "Wanted votes by track, counted every ten minutes",
            cache.get_or_set("wanted-votes", _wanted_votes, WANTED_EVERY_S) or {},
        ),
        "annotate_judgments": (
            "Judged slots by track",
            dict(Slot.objects.exclude(judged_at=None).values_list("track").annotate(Count("id"))),
        ),
        "annotate_pairs": (
            "Pairs by joint state",
            dict(PreferencePair.objects.values_list("joint_state").annotate(Count("id"))),
        ),
    }


def _wanted_votes() -> dict[str, int]:
    """Gold is none of them. Whoever saw the number with every vote would see which votes it leaves out."""
    wanted = Slot.objects.filter(judged_at=None, round__is_open=True, pair__gold=None)
    return dict(wanted.values_list("track").annotate(Count("id")))
