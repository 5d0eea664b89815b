"""Launching SFT: a dry run first, then the launch of exactly what was looked at."""

from __future__ import annotations

from typing import TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods

from annotate.background.views import ask_and_follow, look
from annotate.core.access import SignedInRequest, leads_only
from annotate.core.errors import RoundError
from annotate.models import Job, ModelVersion
from annotate.registry.queries import usable_versions
from annotate.supervised import queries
from annotate.supervised.background import LAUNCH, LOOK
from annotate.supervised.preview import Preview, dry_run
from annotate.supervised.queries import Chosen
from annotate.supervised.sft import refuse_launch
from annotate.training.setting_fields import setting_fields
from rlhf.sft.config import SFTConfig

Row = TypeVar("Row", bound=Model)

#: What most launches look at; the other settings wait behind a fold.
FIRST = (
    "learning_rate",
    "steps",
    "batch_size",
    "accumulation",
    "devices",
    "rank",
    "alpha",
    "fps",
    "sample_every",
    "sample_count",
)
#: The site trains adapters only.
WITHOUT = ("mode",)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: SignedInRequest) -> HttpResponse:
    """GET looks and starts nothing; POST launches what was looked at."""
    given = request.POST if request.method == "POST" else request.GET
    versions, sets, sources = (
        usable_versions(request.user),
        queries.usable_sets(request.user),
        queries.sources(),
    )
    policy = _named(versions, given.get("policy", "")) or versions.first()
    source = given.get("source", "")
    if policy is None:
        return render(request, "annotate/supervised/launch.html", {"policy": None})
    if source and source not in sources:
        raise Http404
    training_set = _named(sets, given.get("set", ""))
    if training_set:
        found: Chosen | Job = queries.chosen_set(training_set)
    else:
        found = _look(request, policy, source)
    chosen, looking = (None, found) if isinstance(found, Job) else (found, None)
    preview, problem = None, ""
    try:
        if chosen is not None:
            preview = dry_run(policy, chosen, given.dict())
            if request.method == "POST":
                return _launch(request, policy, preview, source)
    except (RoundError, ValueError) as error:
        problem = str(error)
    context = {
        "policy": policy,
        "versions": versions,
        "sets": sets,
        "sources": sources,
        "source": source,
        "training_set": training_set,
        "chosen": chosen,
        "looking": looking,
        "preview": preview,
        "problem": problem,
        "approve": settings.APPROVE_ROUNDS,
        **setting_fields(preview.config if preview else SFTConfig(), given, FIRST, WITHOUT),
    }
    template = "annotate/supervised/launch.html" + ("#preview" if request.htmx else "")
    return render(request, template, context, status=422 if problem else 200)


def _named(rows: QuerySet[Row], key: str) -> Row | None:
    """The row of this number; None where none is asked for."""
    if not key:
        return None
    if not (key.isascii() and key.isdecimal() and len(key) < 19):
        raise Http404
    return get_object_or_404(rows, pk=key)


def _look(request: SignedInRequest, policy: ModelVersion, source: str) -> Chosen | Job:
    found = look(request, LOOK, is_quick=queries.is_quick(), policy=policy.pk, source=source)
    return found if isinstance(found, Job) else Chosen.from_json(found)


def _launch(request: SignedInRequest, policy: ModelVersion, preview: Preview, source: str) -> HttpResponse:
    """By a job, which freezes the instances first."""
    seen, accepted = request.POST.get("seen", ""), request.POST.get("accepted") == "on"
    refuse_launch(preview, seen=seen, accepted=accepted)
    chosen = preview.chosen.training_set
    return ask_and_follow(
        request,
        LAUNCH.name,
        policy=policy.pk,
        set=chosen.pk if chosen else None,
        source=source,
        form={name: value for name, value in request.POST.items() if name != "csrfmiddlewaretoken"},
        seen=seen,
        accepted=accepted,
    )
