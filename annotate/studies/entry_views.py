"""The way in by an entry link, for people of a crowd platform: agree, judge, finish, take the code."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotate.judging.assignment_queries import own_entries
from annotate.models import Entry, EntryLink, Study, User
from annotate.studies import entries
from annotate.studies.entries import EntryRefusedError
from annotate.studies.queries import find_link

#: Participants have no password; their session is the only way in.
_BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """The terms; for somebody who is in, how far they are. Nobody is let in by a mere click on a link."""
    link = _link(token)
    external_id = (request.POST or request.GET).get(link.id_parameter, "").strip()
    entry = _own_entry(request, link, external_id)
    if entry is not None:
        return _entered(request, link, entry)
    try:
        entries.check_external_id(external_id)
        if request.method == "POST":
            entry = entries.enter(link, external_id)
            login(request, entry.participant.account, backend=_BACKEND)
            return redirect(_begin_url(link))
        if not link.entries.filter(participant__external_id=external_id).exists():
            entries.check_open(link)
    except EntryRefusedError as refused:
        context = {"link": link, "refused": refused, "external_id": external_id}
        return render(request, "annotate/studies/entry.html", context, status=403)
    context = {"link": link, "external_id": external_id}
    return render(request, "annotate/studies/entry.html", context)


@never_cache
@require_POST
def finish(request: HttpRequest, token: str) -> HttpResponse:
    link = _link(token)
    entry = _own_entry(request, link, "")
    if entry is None:
        raise Http404
    if not entries.finish(entry):
        return redirect(_begin_url(link))
    return redirect("entry", token=token)


@never_cache
@require_POST
def decline(request: HttpRequest, token: str) -> HttpResponse:
    """Who does not agree leaves no trace here."""
    link = _link(token)
    if _own_entry(request, link, "") is not None:
        logout(request)
    return render(request, "annotate/studies/entry.html", {"link": link, "declined": True})


def _link(token: str) -> EntryLink:
    link = find_link(token)
    if link is None:
        raise Http404
    return link


def _begin_url(link: EntryLink) -> str:
    """The address at which its people judge."""
    work = link.work
    if isinstance(work, Study):
        return reverse("study_page", args=[work.pk])
    return reverse("judge", args=[work.track])


def _own_entry(request: HttpRequest, link: EntryLink, external_id: str) -> Entry | None:
    """The entry of whoever is signed in, unless the address names somebody else."""
    if not isinstance(request.user, User) or not request.user.is_participant:
        return None
    own = own_entries(request.user).filter(link=link).first()
    if own is None or (external_id and own.participant.external_id != external_id):
        return None
    return own


def _entered(request: HttpRequest, link: EntryLink, entry: Entry) -> HttpResponse:
    context = {
        "link": link,
        "entry": entry,
        "progress": entries.progress(entry),
        "begin_url": _begin_url(link),
    }
    return render(request, "annotate/studies/entry.html", context)
