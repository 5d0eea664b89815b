"""People and their references, for leads: what curation found, and what people say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotate.core.access import SignedInRequest, has_seen, leads_only, visible_references
from annotate.core.files import media_view, requester, stored_file
from annotate.core.parts import MAX_COUNTED, Order, counted, part_of
from annotate.models import Choice, Curation, IdentityGroup, Reference, Split, Use
from annotate.people import people
from annotate.people import queries as curation_queries
from annotate.people.curation import queue_curation
from annotate.people.tasks import send_curations
from generator.curation.annotation import ClipAnnotation
from generator.curation.filters import Thresholds
from generator.curation.people import find_people
from generator.media.formats import RejectReason
from rlhf.plots.pages import Plot, curve

PEOPLE_PER_PAGE = 24
BY_NAME: Order = {"name": str, "pk": int}


@leads_only
@require_safe
def people_list(request: SignedInRequest) -> HttpResponse:
    """The grid; while something is being curated, its `#progress` part is asked for again and again."""
    if request.htmx:
        counts = curation_queries.curation_counts()
        return render(request, "annotate/people/people.html#progress", {"counts": counts})
    narrow = curation_queries.PeopleFilter.from_query(request.GET.dict())
    people, is_narrowed = curation_queries.people(narrow), narrow != curation_queries.PeopleFilter()
    part = part_of(people.only("name"), request.GET.get("after", ""), PEOPLE_PER_PAGE, BY_NAME)
    shown = curation_queries.shown_in_grid(group.pk for group in part.rows)  # of no others is more read
    counts = curation_queries.curation_counts()
    context = {
        "part": part,
        "people": list(shown),
        "number": counted(people) if is_narrowed else counts["people"],
        "most": MAX_COUNTED,
        "counts": counts,
        "narrow": narrow,
        "is_narrowed": is_narrowed,
        "states": Curation.values,
        "reasons": list(RejectReason),
        "splits": Split.values,
        "uses": Use.choices,
    }
    return render(request, "annotate/people/people.html", context)


@leads_only
@require_safe
def person(request: SignedInRequest, group_id: int) -> HttpResponse:
    """The whole page; while something of this person is being curated, its `#references` part is renewed."""
    news = curation_queries.news_of(group_id)
    if has_seen(request, news):
        return HttpResponse(status=204)
    group = get_object_or_404(curation_queries.visible_people(request.user), pk=group_id)
    template = "annotate/people/person.html" + ("#references" if request.htmx else "")
    return render(request, template, _person_context(group) | {"news": news})


def _person_context(group: IdentityGroup, values: dict[str, Any] | None = None) -> dict[str, Any]:
    thresholds = curation_queries.thresholds_now()
    usable = set(curation_queries.usable_references().filter(group=group).values_list("pk", flat=True))
    references = list(curation_queries.references_of(group))
    shown = [item for item in references if item.pk in usable]
    suggested = curation_queries.best_rated(shown)
    chosen = next((item for item in shown if item.pk == group.primary_id), None)
    return {
        "group": group,
        "cards": [_card(item, item.pk in usable, thresholds) for item in references],
        "is_live": any(item.curation in (Curation.PENDING, Curation.RUNNING) for item in references),
        "num_usable": len(usable),
        "primary": chosen or suggested,
        "suggested": suggested,
        "values": values or {name: getattr(group, name) for name in people.EDITABLE},
        "uses": Use.choices,
        "instances": group.instances.select_related("prompt").order_by("id")[:50],
    }


def _card(reference: Reference, is_usable: bool, thresholds: Thresholds) -> dict[str, Any]:
    decisions = list(reference.decisions.all())
    undo = (decisions[1].choice if len(decisions) > 1 else Choice.AUTOMATIC) if decisions else None
    annotation = _annotation(reference)
    return {
        "reference": reference,
        "is_usable": is_usable,
        "rating": curation_queries.rating_of(reference),
        "why_not": curation_queries.why_not(reference, thresholds),
        "curves": _curves(annotation) if annotation and reference.is_clip else [],
        "undo": undo,
    }


def _annotation(reference: Reference) -> ClipAnnotation | None:
    return curation_queries.read_annotation(reference) if reference.curation == Curation.DONE else None


def _curves(annotation: ClipAnnotation) -> list[Plot]:
    """What was measured on the subject's face, frame by frame; frames without it are left out."""
    tracks = find_people(annotation).tracks
    faces = sorted(tracks[0].faces.items()) if tracks else []
    frames = [(annotation.frames[number].index, face) for number, face in faces]
    points: dict[str, Sequence[tuple[int, float | None]]] = {
        "Sharpness": [(index, face.blur) for index, face in frames],
        "Face, pixels": [(index, (face.box.width * face.box.height) ** 0.5) for index, face in frames],
        "Yaw, degrees": [(index, face.yaw) for index, face in frames],
    }
    return [
        curve(title, [(index, value) for index, value in values if value is not None])
        for title, values in points.items()
    ]


@leads_only
@require_safe
def annotation(request: SignedInRequest, reference_id: int) -> HttpResponse:
    reference = get_object_or_404(visible_references(request.user), pk=reference_id)
    seen = _annotation(reference)
    if seen is None:
        raise Http404
    frames = [
        {
            "index": frame.index,
            "faces": [vars(face.box) for face in frame.faces],
            "humans": [vars(human.box) | {"is_estimated": human.is_estimated} for human in frame.humans],
        }
        for frame in seen.frames
    ]
    answer = JsonResponse({"fps": seen.fps, "width": seen.width, "height": seen.height, "frames": frames})
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@leads_only
@require_POST
def decide(request: SignedInRequest, reference_id: int) -> HttpResponse:
    reference = get_object_or_404(visible_references(request.user), pk=reference_id)
    if request.POST.get("choice") not in Choice.values:
        messages.error(request, f"A reference is one of {', '.join(Choice.values)}; nothing was changed.")
    else:
        people.decide(reference, Choice(request.POST["choice"]), request.user)
    return redirect(reverse("person", args=[reference.group_id]) + f"#reference-{reference.pk}")


@leads_only
@require_POST
def choose_primary(request: SignedInRequest, group_id: int) -> HttpResponse:
    group = get_object_or_404(curation_queries.visible_people(request.user), pk=group_id)
    wanted = request.POST.get("reference", "")
    reference = next((item for item in group.references.all() if str(item.pk) == wanted), None)
    if wanted and reference is None:
        messages.error(request, f"{wanted!r} is no reference of {group}; nothing was changed.")
    else:
        people.choose_primary(group, reference, request.user)
    return redirect("person", group_id=group.pk)


@leads_only
@require_POST
def describe(request: SignedInRequest, group_id: int) -> HttpResponse:
    group = get_object_or_404(curation_queries.visible_people(request.user), pk=group_id)
    values: dict[str, Any] = {name: request.POST.get(name, "") for name in people.EDITABLE}
    ticked = request.POST.getlist("consent_uses")
    is_stated = request.POST.get("consent") == "stated"
    values["consent_uses"] = ticked if is_stated or ticked else None
    try:
        if ticked and not is_stated:
            raise ValueError("uses are ticked, and nobody is said to have stated them; choose one of the two")
        people.describe_person(group, values, request.user)
    except ValueError as error:
        context = _person_context(group, values) | {"problem": str(error)}
        return render(request, "annotate/people/person.html", context, status=422)
    return redirect("person", group_id=group.pk)


@leads_only
@require_POST
def curate(request: SignedInRequest, group_id: int) -> HttpResponse:
    """Let the detectors examine all of a person's references once more."""
    group = get_object_or_404(curation_queries.visible_people(request.user), pk=group_id)
    send_curations(queue_curation(group.references.all()))
    return redirect("person", group_id=group.pk)


@media_view
def reference_media(request: HttpRequest, reference_id: int, part: str) -> HttpResponseBase:
    column = "poster" if part == "poster" else "path"
    path = (
        visible_references(requester(request)).filter(pk=reference_id).values_list(column, flat=True).first()
    )
    if path is None:
        raise Http404
    return stored_file(request, path)
