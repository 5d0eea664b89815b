"""Jobs: which there are, how far each is, and what came of it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from annotate.background import jobs
from annotate.background.kinds import JobKind, kind_of
from annotate.background.queries import newest_look
from annotate.background.tasks import send_job
from annotate.core.access import SignedInRequest, leads_only
from annotate.core.parts import part_of
from annotate.models import Job, Round, RunStatus

JOBS_PER_PAGE = 50


def ask_and_follow(
    request: SignedInRequest, kind: str, round: Round | None = None, **values: Any
) -> HttpResponse:
    """Queue a job for whoever asks, and show its page."""
    job = jobs.ask(kind, request.user, round=round, **values)
    send_job(job)
    return redirect("job", job_id=job.pk)


def look(
    request: SignedInRequest, kind: JobKind, round: Round | None = None, *, is_quick: bool, **values: Any
) -> dict[str, Any] | Job:
    """What a page shows that may take longer to find out than a request may take.

    A look at little is done at once, and raises its kind's refusals; one at much is done by a worker. Then it
    is the job until it is done, and after that what it found, until that is old.
    """
    if is_quick:
        unsaved = Job(kind=kind.name, round=round, asked_by=request.user, values=values)
        return kind.do(unsaved, lambda done, total: None).result
    job = newest_look(kind.name, round, values)
    if job is None:
        job = jobs.ask(kind.name, request.user, round=round, **values)
        send_job(job)
    return job if job.result is None else job.result


@leads_only
@require_safe
def job_list(request: SignedInRequest) -> HttpResponse:
    part = part_of(jobs.visible_jobs(request.user), request.GET.get("after", ""), JOBS_PER_PAGE)
    rows = [{"job": job, "title": kind_of(job.kind).title} for job in part.rows]
    return render(request, "annotate/background/jobs.html", {"part": part, "rows": rows})


@leads_only
@require_safe
def job_detail(request: SignedInRequest, job_id: int) -> HttpResponse:
    """The whole page; while the job is under way, its `#progress` part is asked for again and again.

    A page that waits for what a look finds hears `job-done`.
    """
    job = get_object_or_404(Job.objects.select_related("round", "asked_by").defer("result"), pk=job_id)
    template = "annotate/background/job.html" + ("#progress" if request.htmx else "")
    kind = kind_of(job.kind)
    response = render(request, template, {"job": job, "title": kind.title, "is_look": kind.is_look})
    if request.htmx and job.status == RunStatus.DONE:
        trigger_client_event(response, "job-done")
    return response


@leads_only
@require_POST
def cancel(request: SignedInRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(jobs.visible_jobs(request.user), pk=job_id)
    if not jobs.cancel(job):
        messages.error(request, "The job has ended already; nothing was changed.")
    return redirect("job", job_id=job.pk)
