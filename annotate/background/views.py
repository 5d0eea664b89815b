"""A job: how far it is, and what came of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from annotate.background.jobs import ask
from annotate.background.kinds import kind_of
from annotate.background.tasks import send_job
from annotate.core.access import SignedInRequest, leads_only
from annotate.models import Job, Round


def ask_and_follow(
    request: SignedInRequest, kind: str, round: Round | None = None, **values: Any
) -> HttpResponse:
    """Queue a job for whoever asks, and show its page."""
    job = ask(kind, request.user, round=round, **values)
    send_job(job)
    return redirect("job", job_id=job.pk)


@leads_only
@require_safe
def job_detail(request: SignedInRequest, job_id: int) -> HttpResponse:
    """The whole page; while the job is under way, its `#progress` part is asked for again and again."""
    job = get_object_or_404(Job.objects.select_related("round", "asked_by"), pk=job_id)
    template = "annotate/background/job.html" + ("#progress" if request.htmx else "")
    return render(request, template, {"job": job, "title": kind_of(job.kind).title})
