"""Staff look-up. History is read-only: votes, verdicts and models change only through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from annotate import models


class ReadOnlyAdmin(admin.ModelAdmin[Model]):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_lead", False))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


for table in (
    models.IdentityGroup,
    models.Reference,
    models.CurationDecision,
    models.AppliedThresholds,
    models.DifferentialPrompt,
    models.Instance,
    models.ModelVersion,
    models.Round,
    models.Run,
    models.VideoSample,
    models.VideoPair,
    models.Slot,
    models.Judgment,
    models.Consensus,
    models.PreferencePair,
    models.Export,
    models.RoundFigures,
    models.AnnotatorFlag,
    models.Disqualification,
    models.Supersession,
    models.Study,
    models.StudyAnswer,
    models.AuditEvent,
):
    admin.site.register(table, ReadOnlyAdmin)
