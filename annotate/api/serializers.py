"""Shapes of the API."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.core.strict_fields import Flag, Integer, Text, Uuid
from annotate.judging.answer_schema import Break
from annotate.judging.no_pair import Reason
from annotate.judging.tracks import JudgingTask
from annotate.judging.views import media_url
from annotate.models import Export, FileFormat, JudgmentFile, ModelKind, ModelVersion, Round, RoundState, Run
from annotate.registry.registration import BASE_KINDS
from annotate.rounds.funnel_queries import Funnel, round_funnel
from rlhf.evaluation.stored import in_current_keys
from rlhf.records import CHOICES, Track
from rlhf.training.config import MAX_DEVICES


def _row_number(**options: Any) -> Integer:
    return Integer(min_value=1, max_value=2**63 - 1, **options)


class TokenShown(serializers.Serializer[dict[str, Any]]):
    token = serializers.CharField()


class LeaseRequest(serializers.Serializer[dict[str, Any]]):
    round = _row_number(
        required=False, help_text="Only pairs of this round, which a lead has opened for choosing."
    )
    ahead_of = Uuid(
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


class OpenPairs(serializers.Serializer[dict[str, Any]]):
    open = serializers.IntegerField(help_text="1000 is that many or more.")
    reason = serializers.ChoiceField([str(reason) for reason in Reason], allow_null=True)
    says = serializers.CharField(allow_blank=True, help_text="The reason in words for people.")


class LeaseRenewed(serializers.Serializer[dict[str, Any]]):
    expires_at = serializers.DateTimeField()


class JudgmentGiven(serializers.Serializer[dict[str, Any]]):
    choice = serializers.CharField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class NotTaken(serializers.Serializer[dict[str, Any]]):
    detail = serializers.CharField()
    code = serializers.ChoiceField(["already_judged", "lease_lost", "too_late", "too_soon"])
    stands = JudgmentGiven(required=False, help_text="The answer of yours that the pair has.")


class LastAnswer(serializers.Serializer[dict[str, Any]]):
    """An answer that can still be changed: `PUT` to its lease's judgment, with a new key."""

    lease = Lease()
    choice = serializers.ChoiceField(tuple(CHOICES))
    strength = serializers.CharField(allow_blank=True)
    reasons = serializers.ListField(child=serializers.CharField())
    note = serializers.CharField(allow_blank=True)
    breaks = serializers.ListField(child=Break())
    revision = serializers.IntegerField()


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
            "attempts",
            "created_at",
            "started_at",
            "ended_at",
        ]

    def to_representation(self, run: Run) -> dict[str, Any]:
        shown = super().to_representation(run)
        return shown | {"result": run.result and in_current_keys(run.result)}


class ModelVersionShown(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = ["id", "name", "kind", "weights_sha256", "parent", "export"]


class AdapterShown(serializers.Serializer[dict[str, Any]]):
    version = serializers.IntegerField(help_text="Whose own adapter it is.")
    weight = serializers.FloatField()


class ModelVersionListed(serializers.ModelSerializer[ModelVersion]):
    adapters = serializers.SerializerMethodField(help_text="On the base, in this order.")

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "name",
            "kind",
            "state",
            "base_model",
            "weights_sha256",
            "parent",
            "export",
            "run",
            "adapters",
            "created_at",
        ]

    @extend_schema_field(AdapterShown(many=True))
    def get_adapters(self, version: ModelVersion) -> list[dict[str, Any]]:
        return [{"version": one.pk, "weight": weight} for one, weight in version.adapters()]


class ModelRequest(serializers.Serializer[dict[str, Any]]):
    """A base, or an adapter and what it goes on."""

    base = Text(max_length=500, required=False, help_text="A folder, or a hub id in the workers' cache.")
    kind = serializers.ChoiceField(
        [str(kind) for kind in BASE_KINDS],
        default=ModelKind.SFT,
        help_text="Of a base: sft of one that takes references already.",
    )
    adapter = Text(max_length=500, required=False, help_text="A file or folder, as the workers see it.")
    on = Integer(required=False, min_value=1, max_value=2**63 - 1, help_text="The version it goes on.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("base" in attrs) == ("adapter" in attrs) or ("adapter" in attrs) != ("on" in attrs):
            raise serializers.ValidationError("name either base, or both adapter and on")
        return attrs


class SFTRequest(serializers.Serializer[dict[str, Any]]):
    set = Integer(
        required=False, allow_null=True, min_value=1, max_value=2**63 - 1, help_text="A set that was frozen."
    )
    people_of = Text(max_length=200, default="", allow_blank=True, help_text="Only people of this source.")
    config = serializers.DictField(default=dict, help_text="Settings that differ from the defaults.")


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
            "draw",
            "state",
            "is_open",
            "may_be_chosen",
            "created_at",
            "runs",
            "funnel",
        ]

    def get_funnel(self, round: Round) -> dict[str, Any]:
        """Of a page of rounds the view has read them all at once."""
        funnel: Funnel | None = self.context.get("funnels", {}).get(round.pk)
        return (funnel or round_funnel(round)).to_json()


class RoundRequest(serializers.Serializer[dict[str, Any]]):
    name = Text(max_length=100)
    policy = _row_number(help_text="The model version that makes the videos.")
    new_seeds = Flag(
        default=False,
        help_text="New videos of the same instances, from seeds that no round of this version has used.",
    )


class RoundStateRequest(serializers.Serializer[dict[str, Any]]):
    state = serializers.ChoiceField(RoundState.values)


class RoundStateShown(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(RoundState.values)
    changed = serializers.BooleanField(help_text="False where it was so already.")


class RoundChoosing(serializers.Serializer[dict[str, Any]]):
    may_be_chosen = Flag(help_text="Whether annotators may ask for this round.")


class AdvanceRequest(serializers.Serializer[dict[str, Any]]):
    devices = Integer(
        required=False,
        min_value=1,
        max_value=MAX_DEVICES,
        help_text="Of one worker, over which a training is spread; those of the round's settings otherwise.",
    )


class RunQueued(serializers.Serializer[dict[str, Any]]):
    says = serializers.CharField(help_text="What was done.")
    run = serializers.IntegerField()


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


class JudgmentFileRequest(serializers.Serializer[dict[str, Any]]):
    round = _row_number(
        required=False, allow_null=True, help_text="Only judgments of this round; all rounds without it."
    )
    track = serializers.ChoiceField([str(track) for track in Track], required=False)
    file_format = serializers.ChoiceField(FileFormat.values, default=FileFormat.JSONL)
    includes_simulated = Flag(default=True, help_text="Each is marked as such.")
    includes_names = Flag(
        default=False, help_text="People's names instead of pseudonyms; this is written down."
    )


class JudgmentFileShown(serializers.ModelSerializer[JudgmentFile]):
    content = serializers.SerializerMethodField(help_text="Where the file is, once it is done.")

    class Meta:
        model = JudgmentFile
        fields = [
            "id",
            "round",
            "track",
            "file_format",
            "includes_simulated",
            "includes_names",
            "status",
            "num_rows",
            "rows_written",
            "sha256",
            "size_bytes",
            "error",
            "created_at",
            "ended_at",
            "expires_at",
            "content",
        ]

    def get_content(self, file: JudgmentFile) -> str | None:
        return reverse("api_judgment_file_content", args=[file.pk]) if file.path else None
