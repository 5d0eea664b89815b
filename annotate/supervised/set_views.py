"""Sets of instances: what each is made of, what was trained on it, and the look at a folder."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotate.core.access import SignedInRequest, leads_only
from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.supervised import queries
from annotate.supervised.sets import queue_folder


@leads_only
@require_safe
def training_set(request: SignedInRequest, set_id: int) -> HttpResponse:
    found = get_object_or_404(queries.visible_sets(request.user), pk=set_id)
    context = {
        "set": found,
        "facts": queries.chosen_set(found).facts,
        "why_no_consent": queries.why_no_consent(found),
        "num_known": found.people.count(),
        "runs": queries.runs_on(found),
    }
    return render(request, "annotate/supervised/training_set.html", context)


@leads_only
@require_POST
def read_folder(request: SignedInRequest) -> HttpResponse:
    """Have a worker read a folder of instances; its run's page says what became of it."""
    given = request.POST
    try:
        run = queue_folder(
            given.get("folder", ""),
            licence=given.get("licence", ""),
            is_vouched=given.get("vouched") == "on",
            actor=request.user,
        )
    except RoundError as error:
        messages.error(request, f"Nothing is read: {error}.")
        return redirect("sft")
    tasks.send_run(run)
    return redirect("run", run_id=run.pk)
