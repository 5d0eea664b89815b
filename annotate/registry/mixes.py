"""Mixes: adapters of one lineage on its base, each with a weight of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.db import transaction
from django.db.models import QuerySet

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.models import MAX_WEIGHT, MixedAdapter, ModelKind, ModelState, ModelVersion, User
from annotate.registry.queries import adapters_on


@transaction.atomic
def make_mix(name: str, base: ModelVersion, weights: Mapping[str, float], actor: User | None) -> ModelVersion:
    """Register a base with any of its lineage's adapters, each with a weight. Nothing is trained or copied.

    Adapters are added up, so their order changes nothing; they stand in that of their making.

    Args:
        name: of the version.
        base: that the lineage begins with.
        weights: by the name of the version whose own adapter is meant.
        actor: who wants it.

    Raises:
        RoundError: the name is empty or taken, a version has no adapter on this base, or a weight is 0 or too
            large.
    """
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise RoundError(f"a version's name has 1 to 100 characters; this one has {len(name)}")
    if ModelVersion.objects.filter(name=name).exists():
        raise RoundError(f"there is a version {name!r} already; choose another name")
    if base.parent_id is not None or base.state == ModelState.ARCHIVED:
        raise RoundError(f"{base} is no base that versions can start from; name the first of its lineage")
    chosen = _chosen(base, weights)
    text = "\n".join(f"{version.weights_sha256} {weight!r}" for version, weight in chosen)
    mix = ModelVersion.objects.create(
        name=name,
        kind=ModelKind.MIX,
        base_model=base.base_model,
        parent=base,
        weights_sha256=hashlib.sha256(f"{base.weights_sha256}\n{text}".encode()).hexdigest(),
        max_tokens=base.max_tokens,
        special_tokens=base.special_tokens,
        tokenizer_sha256=base.tokenizer_sha256,
    )
    MixedAdapter.objects.bulk_create(
        MixedAdapter(mix=mix, position=position, version=version, weight=weight)
        for position, (version, weight) in enumerate(chosen)
    )
    record_event("mix_model", mix, actor=actor, adapters={one.pk: weight for one, weight in chosen})
    return mix


def _chosen(base: ModelVersion, weights: Mapping[str, float]) -> list[tuple[ModelVersion, float]]:
    known: QuerySet[ModelVersion] = adapters_on(base)
    chosen = [(version, weights[version.name]) for version in known if version.name in weights]
    if unknown := sorted(weights.keys() - {version.name for version, _ in chosen}):
        names = ", ".join(known.values_list("name", flat=True)) or "none yet"
        raise RoundError(f"{unknown[0]} has no adapter on {base}; those that have: {names}")
    if not chosen:
        raise RoundError("no adapter has a weight; give one to those that the mix is made of")
    for version, weight in chosen:
        if not 0 < abs(weight) <= MAX_WEIGHT:
            raise RoundError(
                f"the weight of {version} is {weight:g}; it must be a number other than 0 "
                f"from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
            )
    return chosen
