"""Stage 2: draw instances from people's references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from annotate.database.batches import BATCH, batches
from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from annotate.people.prompt_reader_queries import readers_in_use
from annotate.people.queries import accepted, primary_among, read_annotation, usable_references
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
#: What wrote a prompt that no model did.
READ_OFF, DRAWN = "read off the target", "drawn from the portrait vocabulary"


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
    `method` is who or what writes its prompt.
    """

    group: IdentityGroup
    plan: InstancePlan
    references: Mapping[str, Reference]
    recipes: tuple[Recipe, ...]
    method: str = ""

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
    for batch in batches(_readable(plan_instances(groups, draw, report), report)):
        report.new_instances += store_instances({planned.digest: planned for planned in batch})
    report.instances = Instance.objects.filter(group__in=groups.order_by()).count()
    return report


def _readable(plans: Iterable[Planned], report: BuildReport) -> Iterator[Planned]:
    """Those whose prompts some model reads to the end; `report` learns of what is not read."""
    readers = readers_in_use()
    for planned in plans:
        refusal, warning = readers.look_at(planned.plan.prompt.text)
        if refusal:
            report.left_out.append(f"{planned.group}: {refusal}")
            continue
        if warning:
            report.not_read.append(f"{planned.group}: {warning}")
        is_observed = planned.plan.target is not None
        yield replace(planned, method=READ_OFF if is_observed else DRAWN)


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
    return groups.order_by("id")


def plan_instances(
    people: QuerySet[IdentityGroup], draw: Draw, report: BuildReport, *, is_observed: bool = False
) -> Iterator[Planned]:
    """What is to be made for these people; `report` learns what falls short of the draw.

    With `is_observed` the prompts stay empty: models will write them.
    """
    usable = usable_references().order_by("sha256")
    people = people.select_related("primary").prefetch_related(
        Prefetch("references", usable, to_attr="usable")
    )
    for group in people.iterator(chunk_size=BATCH):
        yield from _plan_person(group, draw, report, is_observed=is_observed)


def _plan_person(
    group: IdentityGroup, draw: Draw, report: BuildReport, *, is_observed: bool
) -> Iterator[Planned]:
    # Named by content, so that the same people give the same instances in every database.
    usable: list[Reference] = group.usable  # type: ignore[attr-defined]
    references = {item.sha256: item for item in usable}
    annotations: dict[str, ClipAnnotation] = {}
    if draw.is_cropped:
        annotations = _annotations(references)
        report.references_not_cut += len(references) - len(annotations)
        references = {name: references[name] for name in annotations}
        if not references:
            report.left_out.append(f"{group}: no usable reference shows a face; see the people page")
            return
    # What is learned from varies in its primary, unless somebody chose one.
    primary = group.primary if draw.with_target else primary_among(usable, group)
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


def store_instances(wanted: Mapping[str, Planned]) -> int:
    """Make those that are not there yet, with the crops that they show; how many are new.

    They are known by the digests of their plans before anybody wrote their prompts.
    """
    known = set(Instance.objects.filter(digest__in=[*wanted]).values_list("digest", flat=True))
    new = {digest: planned for digest, planned in wanted.items() if digest not in known}
    # Files first: a row never names a missing one.
    crops = [cut_crops(planned) for planned in new.values()]
    with transaction.atomic():
        prompts = DifferentialPrompt.objects.bulk_create(map(_prompt_of, new.values()))
        instances = Instance.objects.bulk_create(
            Instance(group=planned.group, prompt=prompt, digest=digest)
            for (digest, planned), prompt in zip(new.items(), prompts, strict=True)
        )
        made = zip(instances, new.values(), crops, strict=True)
        InstanceReference.objects.bulk_create(place for one in made for place in _places(*one))
    return len(new)


def _prompt_of(planned: Planned) -> DifferentialPrompt:
    prompt = planned.plan.prompt
    elements = [asdict(change) for change in prompt.elements]
    return DifferentialPrompt(text=prompt.text, elements=elements, method=planned.method)


def _places(
    instance: Instance, planned: Planned, crops: Sequence[Mapping[str, Any]]
) -> Iterator[InstanceReference]:
    plan, references = planned.plan, planned.references
    for position, (name, crop) in enumerate(zip((plan.primary, *plan.assistants), crops, strict=True)):
        yield InstanceReference(instance=instance, reference=references[name], position=position, **crop)
    if plan.target is not None:
        yield InstanceReference(instance=instance, reference=references[plan.target])


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
