"""Shapes of the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.evidence import Break, Evidence
from annotate.media import media_url
from annotate.models import Export, ModelVersion, Round, Run, Strength
from annotate.queries import round_funnel
from annotate.services.slots import CHOICES
from annotate.tracks import JudgingTask
from rlhf.records import Track


class LeaseRequest(serializers.Serializer[dict[str, Any]]):
    round = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="Only pairs of this round."
    )
    ahead_of = serializers.UUIDField(
        required=False,
        help_text="A lease that is being judged: the next pair after it is leased, to be fetched meanwhile.",
    )


class ReferenceShown(serializers.Serializer[dict[str, Any]]):
    url = serializers.CharField()
    poster = serializers.CharField()
    kind = serializers.CharField()
    is_primary = serializers.BooleanField()


class Lease(serializers.Serializer[dict[str, Any]]):
    """What one track may see of one pair. Sides are the screen's; nothing names a sample or a model."""

    lease = serializers.UUIDField()
    track = serializers.ChoiceField([str(track) for track in Track])
    expires_at = serializers.DateTimeField()
    left = serializers.CharField()
    right = serializers.CharField()
    references = ReferenceShown(many=True)
    prompt = serializers.CharField(allow_null=True)
    statements = serializers.ListField(child=serializers.CharField(), allow_null=True)
    elements = serializers.DictField(child=serializers.CharField(), allow_null=True)


def lease_json(task: JudgingTask) -> dict[str, Any]:
    lease = task.slot.lease
    assert lease is not None
    return {
        "lease": str(lease),
        "track": task.slot.track,
        "expires_at": task.slot.lease_expires_at,
        "left": media_url(lease, "left"),
        "right": media_url(lease, "right"),
        "references": [
            {
                "url": media_url(lease, shown.name),
                "poster": media_url(lease, f"{shown.name}.poster"),
                "kind": shown.reference.kind,
                "is_primary": shown.is_primary,
            }
            for shown in task.references
        ],
        "prompt": task.prompt,
        "statements": task.statements,
        "elements": task.changes,
    }


class JudgmentRequest(serializers.Serializer[dict[str, Any]]):
    choice = serializers.ChoiceField(CHOICES)
    idempotency_key = serializers.UUIDField(help_text="Repeat a request with the same key: it counts once.")
    strength = serializers.ChoiceField(
        Strength.values, required=False, allow_blank=True, help_text="How much better the chosen side is."
    )
    reasons = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=8)
    note = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    breaks = serializers.ListField(child=Break(), required=False, max_length=20)
    evidence = Evidence(required=False)


class LeaseRenewed(serializers.Serializer[dict[str, Any]]):
    expires_at = serializers.DateTimeField()


class JudgmentGiven(serializers.Serializer[dict[str, Any]]):
    choice = serializers.CharField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class RunShown(serializers.ModelSerializer[Run]):
    class Meta:
        model = Run
        fields = [
            "id",
            "stage",
            "ordinal",
            "status",
            "error",
            "result",
            "created_at",
            "started_at",
            "ended_at",
        ]


class ModelVersionShown(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = ["id", "name", "kind", "weights_sha256", "parent", "export"]


class RoundShown(serializers.ModelSerializer[Round]):
    policy = ModelVersionShown()
    runs = RunShown(many=True)
    funnel = serializers.SerializerMethodField()

    class Meta:
        model = Round
        fields = [
            "id",
            "name",
            "policy",
            "votes_wanted",
            "sampler",
            "dpo",
            "is_open",
            "created_at",
            "runs",
            "funnel",
        ]

    def get_funnel(self, round: Round) -> dict[str, Any]:
        return round_funnel(round)


class RoundAdvanced(serializers.Serializer[dict[str, Any]]):
    says = serializers.CharField(help_text="What was done, or what the round waits for.")
    run = serializers.IntegerField(allow_null=True)


class ExportShown(serializers.ModelSerializer[Export]):
    class Meta:
        model = Export
        fields = [
            "id",
            "round",
            "content_hash",
            "num_pairs",
            "includes_simulated",
            "withdrawn",
            "manifest",
            "created_at",
        ]
