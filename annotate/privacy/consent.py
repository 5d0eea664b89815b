"""Refuse what people did not agree to: before a run is queued, and once more when a worker takes it."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotate.core.errors import RoundError
from annotate.models import (
    Export,
    IdentityGroup,
    Instance,
    PreferencePair,
    Round,
    Run,
    Split,
    Stage,
    Use,
    VideoSample,
)
from annotate.privacy.consent_queries import given, people_of, refusal, refusal_among, uses_of
from annotate.privacy.personal_data_queries import people_asked_about
from generator.rundir import RunDir
from rlhf.evaluation.benchmark.set import Benchmark, read_benchmark


def refuse_without_consent(round: Round) -> None:
    """A round goes on while anybody in it agreed to what it does; those who did not are left out.

    Raises:
        RoundError: nobody did.
    """
    people, uses = people_of(round), uses_of(round)
    if people.exists() and not people.filter(given("", *uses)).exists():
        raise RoundError(refusal(people, *uses))


def people_in(export: Export) -> QuerySet[IdentityGroup]:
    """Everybody whose pairs a frozen set holds."""
    theirs = PreferencePair.objects.filter(exports=export, pair__instance__group=OuterRef("pk"))
    return IdentityGroup.objects.filter(Exists(theirs))


def refuse_training(export: Export) -> None:
    """A frozen set cannot leave anybody out: another export does.

    Raises:
        RoundError: somebody in it does not, or no longer, agree to training.
    """
    if says := refusal(people_in(export), Use.TRAIN):
        raise RoundError(f"{says} An export made now leaves them out.")


def refuse_set(found: Benchmark) -> None:
    """A set is evaluated on while people of this site agree; others are the care of who made the set.

    Raises:
        RoundError: somebody in it does not, or no longer, agree to evaluation.
    """
    if says := _refused_in_set(found):
        raise RoundError(f"{says} Make the set again without them.")


def why_not_now(run: Run, folder: RunDir) -> str:
    """Who in a run that was queued earlier does not agree to it now, and what to do; empty where all do."""
    if run.stage == Stage.DPO and run.export is not None:
        return refusal(people_in(run.export), Use.TRAIN)
    request = folder.read_request()
    if run.stage == Stage.SAMPLE and run.round is not None:
        return _refused_in_samples(run.round, request)
    if run.stage == Stage.PROMPTS:
        asked = people_asked_about(folder.path)
        held_out = Q(split__in=[Split.EVAL, Split.BENCHMARK])
        every = IdentityGroup.objects.all()
        says = refusal_among(every.exclude(held_out), asked, Use.TRAIN)
        return f"{says} {refusal_among(every.filter(held_out), asked, Use.EVALUATE)}".strip()
    if run.stage == Stage.EVALUATE and "path" in request.get("set", {}):
        return _refused_in_set(read_benchmark(folder.resolve(request["set"]["path"]), check_media=False))
    return _refused_in_instances(request)


def _refused_in_samples(round: Round, request: dict[str, Any]) -> str:
    asked = {str(item["sample_id"]) for item in request.get("samples", [])}
    uses, people = uses_of(round), people_of(round)
    refused = VideoSample.objects.filter(~Q(given("instance__group", *uses)), instance__group__in=people)
    found = refused.values_list("pk", "instance__group").iterator()
    return refusal_among(people, {group for sample, group in found if str(sample) in asked}, *uses)


def _refused_in_instances(request: dict[str, Any]) -> str:
    asked = {str(item["instance_id"]) for item in request.get("instances", [])}
    refused = Instance.objects.filter(~Q(given("group", Use.EVALUATE))).exclude(group__split=Split.TRAIN)
    found = refused.values_list("pk", "group").iterator()
    people = {group for instance, group in found if str(instance) in asked}
    return refusal_among(IdentityGroup.objects.all(), people, Use.EVALUATE)


def _refused_in_set(found: Benchmark) -> str:
    """Sets name people by pseudonym; those of 0.1.0 by source and name."""
    named = {instance.identity for instance in found.instances}
    refused = IdentityGroup.objects.filter(~Q(given("", Use.EVALUATE)))
    people = {
        pk
        for pk, pseudonym, source, name in refused.values_list("pk", "pseudonym", "source", "name").iterator()
        if pseudonym in named or f"{source}/{name}" in named
    }
    return refusal_among(IdentityGroup.objects.all(), people, Use.EVALUATE)
