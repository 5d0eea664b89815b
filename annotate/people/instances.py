"""Stage 2: draw instances from people's references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from annotate.people.prompt_reader_queries import readers_in_use
from annotate.people.queries import accepted, primary_of, read_annotation, usable_references
from annotate.privacy.consent_queries import may_be_drawn, who_may_not_be_drawn
from annotate.storage.opening import site_storage
from generator.curation.annotation import ClipAnnotation
from generator.curation.augmentation import Recipe, apply_recipe, possible_kinds
from generator.instances import Draw, Vocabulary, draw_crops, draw_instances, draw_observed
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.prompts.stages import say_change
from generator.records import IdentityGroup as GroupRecord
from generator.records import InstancePlan
from generator.records import Reference as ReferenceRecord


def _say(element: str, state: str, choice: int) -> str:
    """In the words of the embedded world, or plainly where somebody described more than it knows."""
    known = state in ELEMENT_STATES[element]
    return phrase_change(element, state, choice) if known else say_change(element, state)


#: The changes that the shipped model has learned, and their wording.
PORTRAIT_VOCABULARY = Vocabulary(states=ELEMENT_STATES, phrase=_say)


@dataclass
class BuildReport:
    """What building instances came to; `instances` are all of the chosen people.

    `fewer_references` and `without_target` count drawn ones that fall short of what was asked for,
    `references_not_cut` those that nothing can be cut out of. `left_out` names, with the reason, people of
    whom nothing can be drawn and instances whose prompts no model reads to their end; `not_read` those that
    some model would not read whole: rounds of it leave them out.
    """

    new_instances: int = 0
    instances: int = 0
    fewer_references: int = 0
    without_target: int = 0
    references_not_cut: int = 0
    left_out: list[str] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Planned:
    """One instance to be. The plan names references by their sha256.

    `recipes` are those of the crops that the references are shown as, in order; empty where shown whole.
    """

    group: IdentityGroup
    plan: InstancePlan
    references: Mapping[str, Reference]
    recipes: tuple[Recipe, ...]

    @property
    def digest(self) -> str:
        """The same in every database: of the plan, the people being named by source and name."""
        content = {
            "group": [self.group.source, self.group.name],
            **asdict(self.plan),
            "recipes": [recipe.to_json() for recipe in self.recipes],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def build_instances(draw: Draw, *, split: str | None = None, source: str | None = None) -> BuildReport:
    """Draw instances for every person of a split and source; drawing again with the same seed adds nothing.

    Raises:
        ValueError: there is nobody to draw from, or a person has too few references for `draw.count`.
    """
    report = BuildReport()
    groups = people_to_draw(split, source, with_target=draw.with_target, report=report)
    readers = readers_in_use()
    for group in groups.iterator():
        for planned in plan_instances(group, draw, report):
            refusal, warning = readers.look_at(planned.plan.prompt.text)
            if refusal:
                report.left_out.append(f"{group}: {refusal}")
                continue
            if warning:
                report.not_read.append(f"{group}: {warning}")
            is_observed = planned.plan.target is not None
            method = "read off the target" if is_observed else "drawn from the portrait vocabulary"
            report.new_instances += store_instance(planned, planned.digest, method)
    report.instances = Instance.objects.filter(group__in=groups.order_by()).count()
    return report


def people_to_draw(
    split: str | None, source: str | None, *, with_target: bool, report: BuildReport
) -> QuerySet[IdentityGroup]:
    """People with something usable who agreed to what instances are for; `report` learns who did not.

    Raises:
        ValueError: there is nobody.
    """
    everybody = IdentityGroup.objects.filter(Exists(accepted(Reference.objects.filter(group=OuterRef("pk")))))
    everybody = everybody.filter(split=split) if split else everybody
    everybody = everybody.filter(source=source) if source else everybody
    groups = everybody.filter(may_be_drawn("", with_target=with_target))
    refused = who_may_not_be_drawn(everybody, with_target=with_target)
    if not groups.exists():
        raise ValueError(refused or "nobody has a usable reference to draw from; import people first")
    report.left_out += [refused] if refused else []
    return groups.select_related("primary").order_by("id")


def plan_instances(
    group: IdentityGroup, draw: Draw, report: BuildReport, *, is_observed: bool = False
) -> Iterator[Planned]:
    """What is to be made for a person; `report` learns what falls short of the draw.

    With `is_observed` the prompts stay empty: models will write them.
    """
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
            ReferenceRecord(name, item.modality, item.path, item.num_frames, item.elements)
            for name, item in references.items()
        ),
        primary=primary.sha256 if primary else None,
    )
    plans = draw_observed(record, draw) if is_observed else draw_instances(record, draw, PORTRAIT_VOCABULARY)
    if is_observed and len(plans) < draw.count:
        report.left_out.append(f"{group}: {len(plans)} of {draw.count}, for want of other clips as targets")
    for plan in plans:
        recipes = draw_crops(plan, annotations, draw.seed) if draw.is_cropped else ()
        report.fewer_references += 1 + len(plan.assistants) < (draw.num_references or 1)
        report.without_target += draw.with_target and plan.target is None
        yield Planned(group, plan, references, recipes)


def _annotations(references: dict[str, Reference]) -> dict[str, ClipAnnotation]:
    """Of the curated references out of which something can be cut."""
    found = {}
    for name, reference in references.items():
        annotation = read_annotation(reference)
        if annotation is not None and possible_kinds(annotation):
            found[name] = annotation
    return found


def store_instance(planned: Planned, digest: str, method: str) -> bool:
    """Make it, with the crops that it shows; False when it is there already.

    `digest` is that of the plan before anybody wrote its prompt, `method` who or what wrote it.
    """
    if Instance.objects.filter(digest=digest).exists():
        return False
    plan = planned.plan
    # Files first: a row never names a missing one.
    crops = cut_crops(planned)
    with transaction.atomic():
        prompt = DifferentialPrompt.objects.create(
            text=plan.prompt.text, elements=[asdict(change) for change in plan.prompt.elements], method=method
        )
        instance = Instance.objects.create(group=planned.group, prompt=prompt, digest=digest)
        shown = [planned.references[name] for name in (plan.primary, *plan.assistants)]
        places = [
            InstanceReference(instance=instance, reference=reference, position=position, **crop)
            for position, (reference, crop) in enumerate(zip(shown, crops, strict=True))
        ]
        if plan.target is not None:
            places.append(InstanceReference(instance=instance, reference=planned.references[plan.target]))
        InstanceReference.objects.bulk_create(places)
    return True


def cut_crops(planned: Planned) -> list[dict[str, Any]]:
    """What the references are shown as, in order: columns of their places, empty where shown whole."""
    names = (planned.plan.primary, *planned.plan.assistants)
    if not planned.recipes:
        return [{}] * len(names)
    pairs = zip(names, planned.recipes, strict=True)
    return [_cut(planned.references[name], recipe) for name, recipe in pairs]


def crop_path(reference: Reference, recipe: Recipe) -> Path:
    """Beside the reference, named by the recipe: the same crop is stored once."""
    name = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True).encode()).hexdigest()[:16]
    suffix = ".mp4" if recipe.kind.is_clip else ".png"
    return Path(reference.path).with_name(f"crop-{name}{suffix}")


def _cut(reference: Reference, recipe: Recipe) -> dict[str, Any]:
    path = crop_path(reference, recipe)
    storage = site_storage()
    if not storage.exists(str(path)):
        with storage.local(reference.path) as whole:
            frames = apply_recipe(recipe, whole)
        with storage.writing(str(path.with_suffix(".jpg"))) as poster:
            write_photo(poster, frames[0])
        with storage.writing(str(path)) as crop:
            if recipe.kind.is_clip:
                write_clip(crop, frames, reference.fps)
            else:
                write_photo(crop, frames[0])
    return crop_columns(recipe, path, storage.sha256(str(path)))


def crop_columns(recipe: Recipe, path: Path, sha256: str) -> dict[str, Any]:
    return {
        "recipe": recipe.to_json(),
        "kind": recipe.kind,
        "path": str(path),
        "poster": str(path.with_suffix(".jpg")),
        "sha256": sha256,
    }
