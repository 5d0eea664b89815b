"""What the API of leads has in common."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import generics
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.api.describing import Conflict
from annotate.api.judging import signed_in
from annotate.core.access import visible_rounds
from annotate.core.errors import RoundError
from annotate.exports.downloads import DownloadError
from annotate.exports.files import ExportFileError
from annotate.models import Round, User


class IsLead(BasePermission):
    """To anybody but a lead the page does not exist."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (isinstance(request.user, User) and request.user.is_lead):
            raise Http404
        return True


#: What services refuse because things are in another state than the request needs.
_CONFLICTS = (RoundError, DownloadError, ExportFileError)


class ForLeads(APIView):
    permission_classes = [IsAuthenticated, IsLead]

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(Conflict(str(exc)) if isinstance(exc, _CONFLICTS) else exc)


def asked_round(request: Request, pk: int) -> Round:
    return generics.get_object_or_404(visible_rounds(signed_in(request)), pk=pk)
