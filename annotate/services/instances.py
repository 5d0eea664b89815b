"""Stage 2: draw instances from people's references."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from django.db import transaction

from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from generator.instances import Vocabulary, draw_instances
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.records import IdentityGroup as GroupRecord
from generator.records import InstancePlan, ReferenceKind
from generator.records import Reference as ReferenceRecord

#: The changes that the shipped model has learned, and their wording.
PORTRAIT_VOCABULARY = Vocabulary(states=ELEMENT_STATES, phrase=phrase_change)


def build_instances(
    *, split: str | None = None, source: str | None = None, count: int, seed: int
) -> tuple[int, int]:
    """Draw instances for every person; drawing again with the same seed adds nothing.

    Returns:
        How many are new, and how many there are for these people.

    Raises:
        ValueError: there is nobody to draw from, or a person has too few references for `count`.
    """
    groups = IdentityGroup.objects.filter(references__reject_reasons=[]).distinct()
    groups = groups.filter(split=split) if split else groups
    groups = groups.filter(source=source) if source else groups
    if not groups.exists():
        raise ValueError("there is nobody to draw instances from; import people first")
    made = sum(_build_for(group, count, seed) for group in groups.order_by("id"))
    return made, Instance.objects.filter(group__in=groups).count()


def _build_for(group: IdentityGroup, count: int, seed: int) -> int:
    references = {str(item.pk): item for item in group.references.filter(reject_reasons=[]).order_by("id")}
    record = GroupRecord(
        name=f"{group.source}/{group.name}",
        references=tuple(
            ReferenceRecord(name, ReferenceKind(item.kind), item.path, item.num_frames, item.elements)
            for name, item in references.items()
        ),
    )
    plans = draw_instances(record, count=count, seed=seed, vocabulary=PORTRAIT_VOCABULARY)
    return sum(_store_plan(group, plan, references) for plan in plans)


@transaction.atomic
def _store_plan(group: IdentityGroup, plan: InstancePlan, references: dict[str, Reference]) -> bool:
    content = {"group": group.pk, **asdict(plan)}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if Instance.objects.filter(digest=digest).exists():
        return False
    prompt = DifferentialPrompt.objects.create(
        text=plan.prompt.text,
        elements=[asdict(change) for change in plan.prompt.elements],
        method="drawn from the portrait vocabulary",
    )
    instance = Instance.objects.create(group=group, prompt=prompt, digest=digest)
    places: list[tuple[str, int | None]] = [
        (name, position) for position, name in enumerate((plan.primary, *plan.assistants))
    ]
    if plan.target is not None:
        places.append((plan.target, None))
    InstanceReference.objects.bulk_create(
        InstanceReference(instance=instance, reference=references[name], position=position)
        for name, position in places
    )
    return True
