from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render

from annotate import queries
from annotate.views.access import SignedInRequest, leads_only

PEOPLE_A_PAGE = 24


@leads_only
def people_list(request: SignedInRequest) -> HttpResponse:
    page = Paginator(queries.people().prefetch_related("references"), PEOPLE_A_PAGE).get_page(
        request.GET.get("page")
    )
    return render(request, "annotate/people.html", {"page": page})
