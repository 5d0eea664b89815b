"""Who in an evaluation does not agree to it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.db.models import Q

from annotate.core.errors import RoundError
from annotate.models import IdentityGroup, Instance, Run, Split, Use
from annotate.privacy.consent_queries import given, refusal_among
from annotate.storage.opening import site_storage
from rlhf.evaluation.benchmark.set import TABLES, Benchmark, read_tables


def refuse_set(benchmark: Benchmark) -> None:
    """A set is evaluated on while people of this site agree; others are the care of who made the set.

    Raises:
        RoundError: somebody in it does not, or no longer, agree to evaluation.
    """
    if says := _refused_in_set(benchmark):
        raise RoundError(f"{says} Make the set again without them.")


def refused_in_request(run: Run, request: dict[str, Any]) -> str:
    """Who in a queued evaluation does not agree to it now, and the remedy; empty where all do."""
    if "path" not in request.get("set", {}):
        return _refused_in_instances(request)
    path = os.path.normpath(os.path.join(run.folder, request["set"]["path"]))
    is_stored = not path.startswith(("/", "../"))
    place = nullcontext(settings.STORAGE_ROOT / path)
    try:
        with site_storage().local_folder(path, TABLES) if is_stored else place as folder:
            return _refused_in_set(read_tables(folder))
    except (FileNotFoundError, ValueError) as error:
        return f"whom the set shows cannot be read on the site's machine: {error}"


def _refused_in_instances(request: dict[str, Any]) -> str:
    asked = {str(item["instance_id"]) for item in request.get("instances", [])}
    refused = Instance.objects.filter(~Q(given("group", Use.EVALUATE))).exclude(group__split=Split.TRAIN)
    rows = refused.values_list("pk", "group").iterator()
    people = {group for instance, group in rows if str(instance) in asked}
    return refusal_among(IdentityGroup.objects.all(), people, Use.EVALUATE)


def _refused_in_set(benchmark: Benchmark) -> str:
    """Sets name people by pseudonym; those of 0.1.0 by source and name."""
    named = {instance.identity for instance in benchmark.instances}
    refused = IdentityGroup.objects.filter(~Q(given("", Use.EVALUATE)))
    people = {
        pk
        for pk, pseudonym, source, name in refused.values_list("pk", "pseudonym", "source", "name").iterator()
        if pseudonym in named or f"{source}/{name}" in named
    }
    return refusal_among(IdentityGroup.objects.all(), people, Use.EVALUATE)
