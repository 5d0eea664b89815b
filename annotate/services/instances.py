"""Stage 2: draw instances from people's references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from annotate.curation_queries import primary_of, usable_references
from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from generator.curation.annotation import ANNOTATION_NAME, ClipAnnotation, load_annotation
from generator.curation.augmentation import Recipe, apply_recipe, possible_kinds
from generator.instances import Draw, Vocabulary, draw_crops, draw_instances
from generator.media import file_sha256
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.prompts.stages import say_change
from generator.records import IdentityGroup as GroupRecord
from generator.records import InstancePlan, ReferenceKind
from generator.records import Reference as ReferenceRecord
from generator.video import write_clip, write_poster


def _say(element: str, state: str, choice: int) -> str:
    """In the words of the embedded world, or plainly where somebody described more than it knows."""
    known = state in ELEMENT_STATES[element]
    return phrase_change(element, state, choice) if known else say_change(element, state)


#: The changes that the shipped model has learned, and their wording.
PORTRAIT_VOCABULARY = Vocabulary(states=ELEMENT_STATES, phrase=_say)


@dataclass
class BuildReport:
    """What building instances came to.

    Attributes:
        new_instances: that were not there before.
        instances: of the chosen people, all together.
        fewer_references: drawn ones with fewer references than asked for, for want of more.
        without_target: drawn ones without the target that was asked for.
        references_not_cut: left out, because nothing can be cut out of them.
        left_out: people of whom nothing can be drawn, with the reason.
    """

    new_instances: int = 0
    instances: int = 0
    fewer_references: int = 0
    without_target: int = 0
    references_not_cut: int = 0
    left_out: list[str] = field(default_factory=list)


def build_instances(draw: Draw, *, split: str | None = None, source: str | None = None) -> BuildReport:
    """Draw instances for every person; drawing again with the same seed adds nothing.

    Args:
        draw: how they are drawn; with `is_cropped` from crops of curated references.
        split: only people of this split.
        source: only people of this source.

    Raises:
        ValueError: there is nobody to draw from, or a person has too few references for `draw.count`.
    """
    groups = IdentityGroup.objects.filter(pk__in=usable_references().values("group"))
    groups = groups.filter(split=split) if split else groups
    groups = groups.filter(source=source) if source else groups
    if not groups.exists():
        raise ValueError("nobody has a usable reference to draw from; import people first")
    report = BuildReport()
    for group in groups.select_related("primary").order_by("id").iterator():
        _build_for(group, draw, report)
    report.instances = Instance.objects.filter(group__in=groups).count()
    return report


def _build_for(group: IdentityGroup, draw: Draw, report: BuildReport) -> None:
    # Named by content, so that the same people give the same instances in every database.
    references = {item.sha256: item for item in usable_references().filter(group=group).order_by("sha256")}
    annotations: dict[str, ClipAnnotation] = {}
    if draw.is_cropped:
        annotations = _annotations(references)
        report.references_not_cut += len(references) - len(annotations)
        references = {name: references[name] for name in annotations}
        if not references:
            report.left_out.append(f"{group}: no usable reference shows a face; see the people page")
            return
    # What is learned from varies in its primary, unless somebody chose one.
    primary = group.primary if draw.with_target else primary_of(group)
    record = GroupRecord(
        name=f"{group.source}/{group.name}",
        references=tuple(
            ReferenceRecord(name, ReferenceKind(item.kind), item.path, item.num_frames, item.elements)
            for name, item in references.items()
        ),
        primary=primary.sha256 if primary else None,
    )
    for plan in draw_instances(record, draw, PORTRAIT_VOCABULARY):
        recipes = draw_crops(plan, annotations, draw.seed) if draw.is_cropped else ()
        report.new_instances += _store_plan(group, plan, references, recipes)
        report.fewer_references += 1 + len(plan.assistants) < (draw.num_references or 1)
        report.without_target += draw.with_target and plan.target is None


def _annotations(references: dict[str, Reference]) -> dict[str, ClipAnnotation]:
    """Of the curated references out of which something can be cut."""
    found = {}
    for name, reference in references.items():
        path = (settings.STORAGE_ROOT / reference.path).with_name(ANNOTATION_NAME)
        if path.exists() and possible_kinds(annotation := load_annotation(path)):
            found[name] = annotation
    return found


def _store_plan(
    group: IdentityGroup, plan: InstancePlan, references: dict[str, Reference], recipes: Sequence[Recipe]
) -> bool:
    content = {
        "group": [group.source, group.name],
        **asdict(plan),
        "recipes": [recipe.to_json() for recipe in recipes],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if Instance.objects.filter(digest=digest).exists():
        return False
    shown = [references[name] for name in (plan.primary, *plan.assistants)]
    # Files first: a row never names a missing one.
    crops = [_cut(*pair) for pair in zip(shown, recipes, strict=True)] if recipes else [{}] * len(shown)
    with transaction.atomic():
        prompt = DifferentialPrompt.objects.create(
            text=plan.prompt.text,
            elements=[asdict(change) for change in plan.prompt.elements],
            method="drawn from the portrait vocabulary" if plan.target is None else "read off the target",
        )
        instance = Instance.objects.create(group=group, prompt=prompt, digest=digest)
        places = [
            InstanceReference(instance=instance, reference=reference, position=position, **crop)
            for position, (reference, crop) in enumerate(zip(shown, crops, strict=True))
        ]
        if plan.target is not None:
            places.append(InstanceReference(instance=instance, reference=references[plan.target]))
        InstanceReference.objects.bulk_create(places)
    return True


def crop_path(reference: Reference, recipe: Recipe) -> Path:
    """Beside the reference, named by the recipe: the same crop is stored once."""
    name = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True).encode()).hexdigest()[:16]
    suffix = ".mp4" if recipe.kind is ReferenceKind.CLIP else ".png"
    return Path(reference.path).with_name(f"crop-{name}{suffix}")


def _cut(reference: Reference, recipe: Recipe) -> dict[str, Any]:
    path = crop_path(reference, recipe)
    poster = path.with_suffix(".jpg")
    file = settings.STORAGE_ROOT / path
    if not file.exists():
        frames = apply_recipe(recipe, settings.STORAGE_ROOT / reference.path)
        write_poster(settings.STORAGE_ROOT / poster, frames[0])
        if recipe.kind is ReferenceKind.CLIP:
            write_clip(file, frames, reference.fps)
        else:
            write_poster(file, frames[0])
    return {
        "recipe": recipe.to_json(),
        "kind": recipe.kind,
        "path": str(path),
        "poster": str(poster),
        "sha256": file_sha256(file),
    }
