"""Instances: repeatable by seed, and no target is ever shown, not even a crop of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from annotate.judging.tracks import judging_task
from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from annotate.people.instances import build_instances
from annotate.privacy.erasure import erase_identity
from generator.curation.annotation import ANNOTATION_NAME
from generator.curation.augmentation import Recipe, apply_recipe
from generator.files import file_sha256
from generator.instances import Draw
from generator.media.video import read_clip
from generator.records import ReferenceKind
from rlhf.records import Track
from tests.annotate.described_people import import_described
from tests.factories import make_instance, make_pair, make_reference

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

CROPS = {"recipe": {"kind": "photo"}, "kind": "photo", "path": "a", "poster": "b", "sha256": "c"}


@pytest.fixture
def people(tmp_path: Path) -> None:
    import_described(tmp_path)


def test_building_again_adds_nothing(people):
    found = [build_instances(Draw(count=count, seed=0)) for count in (2, 2, 3)]
    assert [(report.new_instances, report.instances) for report in found] == [(4, 4), (0, 4), (2, 6)]
    assert DifferentialPrompt.objects.count() == 6


def test_an_instance_has_one_primary_and_says_what_changes(people):
    build_instances(Draw(count=3, seed=0))
    for instance in Instance.objects.all():
        positions = list(instance.places.values_list("position", flat=True))
        assert positions == list(range(len(positions))) and positions
        changed = [element for element in instance.prompt.elements if element["changed"]]
        assert 1 <= len(changed) <= 3
        for element in changed:
            assert element["statement"] in instance.prompt.text


def test_it_draws_as_many_references_as_are_asked_for_and_counts_those_with_fewer(people):
    Reference.objects.filter(group__name="tom", source_name__in=["photo.png", "body.png"]).delete()
    report = build_instances(Draw(count=4, seed=0, num_references=5))
    counts = {name: set() for name in ("mia", "tom")}
    for instance in Instance.objects.select_related("group"):
        counts[instance.group.name].add(instance.places.count())
    assert counts == {"mia": {5}, "tom": {3}}
    assert report.fewer_references == 4


def test_a_target_is_a_clip_whose_differences_are_asked_for(people):
    Reference.objects.filter(group__name="tom").exclude(source_name="photo.png").delete()
    report = build_instances(Draw(count=4, seed=0, with_target=True))
    assert report.without_target == 4
    for instance in Instance.objects.filter(group__name="mia"):
        primary = instance.places.get(position=0).reference
        target = instance.places.get(position=None).reference
        assert target.is_clip
        changes = {item["element"]: item["target"] for item in instance.prompt.elements if item["changed"]}
        assert changes == {
            element: target.elements[element]
            for element in ("clothing", "background")
            if target.elements[element] != primary.elements[element]
        }


def test_the_names_of_rows_do_not_matter(people, tmp_path):
    draw = Draw(count=3, seed=0, with_target=True, is_cropped=True)
    build_instances(draw)
    digests = set(Instance.objects.values_list("digest", flat=True))
    IdentityGroup.objects.all().delete()
    import_described(tmp_path / "again")
    build_instances(draw)
    assert set(Instance.objects.values_list("digest", flat=True)) == digests


def test_crops_are_files_that_can_be_redrawn(people):
    report = build_instances(Draw(count=6, seed=0, with_target=True, is_cropped=True))
    assert (report.new_instances, report.references_not_cut, report.left_out) == (12, 0, [])
    kinds = set()
    for place in InstanceReference.objects.exclude(position=None).select_related("reference"):
        source, crop = (settings.STORAGE_ROOT / path for path in (place.reference.path, place.path))
        recipe = Recipe.from_json(place.recipe)
        assert recipe.source_sha256 == place.reference.sha256 == file_sha256(source)
        assert place.sha256 == file_sha256(crop)
        assert place.shown is place and place.kind == recipe.kind
        assert (settings.STORAGE_ROOT / place.poster).is_file()
        shown, redrawn = read_clip(crop).frames, apply_recipe(recipe, source)
        assert shown.shape == redrawn.shape
        if recipe.kind is ReferenceKind.CLIP:
            assert np.abs(shown.astype(int) - redrawn).mean() < 3
        else:
            assert np.array_equal(shown, redrawn)
        kinds.add(recipe.kind)
    assert kinds == set(ReferenceKind)
    assert build_instances(Draw(count=6, seed=0, with_target=True, is_cropped=True)).new_instances == 0


def test_no_crop_of_a_target_is_shown(people):
    build_instances(Draw(count=10, seed=0, with_target=True, is_cropped=True))
    for instance in Instance.objects.all():
        target = instance.places.get(position=None)
        others = instance.places.exclude(position=None)
        assert target.recipe is None
        assert target.reference_id not in others.values_list("reference_id", flat=True)
    with pytest.raises(IntegrityError, match="one_place_a_reference"), transaction.atomic():
        InstanceReference.objects.create(instance=instance, reference=target.reference, position=4, **CROPS)


@pytest.mark.parametrize("change", [{"path": ""}, {"recipe": None}, {"kind": "hologram"}, {"position": None}])
def test_the_database_refuses_half_a_crop(change):
    instance = make_instance(num_references=1)
    with pytest.raises(IntegrityError, match="whole_or_crop"), transaction.atomic():
        InstanceReference.objects.create(
            instance=instance,
            reference=make_reference(instance.group),
            **({"position": 1} | CROPS | change),
        )


def test_people_see_the_crop_that_the_model_sees(people, ana):
    build_instances(Draw(count=1, seed=0, is_cropped=True))
    instance = Instance.objects.first()
    pair = make_pair(instance=instance)
    place = instance.places.get(position=0)
    task = judging_task(pair.slots.get(track=Track.CONTROLLABILITY))
    assert [shown.reference.path for shown in task.references] == [place.path]
    everything = {
        shown.reference.path for shown in judging_task(pair.slots.get(track=Track.IDENTITY)).references
    }
    assert everything == set(instance.group.references.values_list("path", flat=True))


def test_what_was_not_curated_is_not_cut(people):
    for reference in Reference.objects.filter(group__name="mia"):
        (settings.STORAGE_ROOT / reference.path).with_name(ANNOTATION_NAME).unlink()
    report = build_instances(Draw(count=1, seed=0, is_cropped=True))
    assert (report.new_instances, report.references_not_cut) == (1, 5)
    assert report.left_out == ["mia: no usable reference shows a face; see the people page"]


def test_erasing_a_person_erases_their_crops(people):
    build_instances(Draw(count=2, seed=0, is_cropped=True))
    paths = InstanceReference.objects.filter(instance__group__name="mia").values_list("path", "poster")
    crops = [settings.STORAGE_ROOT / path for pair in paths for path in pair]
    assert all(path.is_file() for path in crops)
    erase_identity("mia", really=True)
    assert not any(path.exists() for path in crops)


def test_nobody_to_draw_from_is_said():
    with pytest.raises(ValueError, match="import people first"):
        build_instances(Draw(count=1, seed=0))


def test_the_database_keeps_a_target_out_of_the_references():
    instance = make_instance(num_references=1)
    reference = instance.references.get()
    with pytest.raises(IntegrityError, match="one_place_a_reference"), transaction.atomic():
        InstanceReference.objects.create(instance=instance, reference=reference, position=None)


def test_the_database_refuses_a_sixth_reference():
    instance = make_instance(num_references=5)
    with pytest.raises(IntegrityError, match="at_most_five"), transaction.atomic():
        InstanceReference.objects.create(
            instance=instance, reference=make_reference(instance.group), position=5
        )
