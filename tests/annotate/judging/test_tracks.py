"""Decoupling and blinding: a track receives what it may show, and nothing that names where it came from."""

from __future__ import annotations

import pytest

from annotate.judging.tracks import judging_task, shown_file
from annotate.models import Slot, User
from annotate.prompts.prompts import PromptEdit, edit_prompt
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_group, make_instance, make_pair, make_reference
from tests.votes import next_slot

pytestmark = pytest.mark.django_db


def leased(person: User, track: Track) -> Slot:
    slot = next_slot(person, track)
    return slot


def test_identity_shows_the_whole_id_group_and_no_prompt(ana):
    group = make_group()
    instance = make_instance(group, num_references=2)
    extra = make_reference(group)
    rejected = make_reference(group, reject_reasons=["blurred"])
    make_pair(instance=instance)
    task = judging_task(leased(ana, Track.IDENTITY))
    shown = {item.reference for item in task.references}
    assert extra in shown and len(shown) == 3 and rejected not in shown
    assert (task.prompt, task.statements, task.changes) == (None, None, None)
    assert not any(item.is_primary for item in task.references)


def test_controllability_shows_the_primary_and_the_prompt_and_no_other_reference(ana):
    instance = make_instance(num_references=3, background="a beach", clothing="a red coat")
    make_pair(instance=instance)
    task = judging_task(leased(ana, Track.CONTROLLABILITY))
    assert [item.reference for item in task.references] == [instance.places.get(position=0).reference]
    assert task.statements == ("The clothing changes to a red coat.", "The background changes to a beach.")
    assert task.changes == {"clothing": "a red coat", "background": "a beach"}


def test_controllability_shows_a_text_that_was_written_anew_as_the_model_read_it(ana, lea):
    instance = make_instance(background="a beach")
    edit = PromptEdit({"background": "a beach"}, {"background": "A beach."}, "It happens at the sea.")
    edit_prompt(instance, instance.prompt_id, edit, lea)
    make_pair(instance=instance)
    assert judging_task(leased(ana, Track.CONTROLLABILITY)).statements == ("It happens at the sea.",)


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_maps_sides_to_samples_as_the_slot_says(ana, side):
    pair = make_pair()
    slot = leased(ana, Track.IDENTITY)
    Slot.objects.filter(pk=slot.pk).update(first_side=side)
    slot.refresh_from_db()
    other = "right" if side == "left" else "left"
    assert shown_file(slot, side) == pair.first.path
    assert shown_file(slot, other) == pair.second.path


def test_it_shows_nothing_by_another_name(ana):
    make_pair(instance=make_instance(num_references=3))
    slot = leased(ana, Track.CONTROLLABILITY)
    assert shown_file(slot, "reference-0") is not None
    for name in ("reference-1", "reference-0.mp4/..", "first", "../secret", "", "reference--1"):
        assert shown_file(slot, name) in (None, shown_file(slot, "reference-0")), name
    assert shown_file(slot, "reference-1") is None


def test_identity_never_receives_the_prompt(ana):
    make_pair(instance=make_instance(background="a very particular beach"))
    page = browser_of(ana).get("/judge/identity/").content.decode()
    api = machine_of(ana).post("/api/tracks/identity/lease/").content.decode()
    assert "particular" not in page + api
