"""Editing a prompt: earlier versions stay, and videos keep the one they were made with."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from annotate.models import DifferentialPrompt, Instance
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_model, make_sample, prompt_form

pytestmark = pytest.mark.django_db


def test_an_edit_keeps_the_earlier_version(lea):
    instance = make_instance(background="a beach")
    first = instance.prompt
    change = {
        "hairstyle-changed": "on",
        "hairstyle-target": "a bun",
        "hairstyle-statement": "Put the hair up",
    }
    answer = browser_of(lea).post(f"/instances/{instance.pk}/prompt/", prompt_form(instance, **change))
    assert answer.status_code == 302
    instance.refresh_from_db()
    assert instance.prompt.text == "Put the hair up. The background changes to a beach."
    assert (instance.prompt.supersedes, instance.prompt.author) == (first, lea)
    assert first.text in browser_of(lea).get(f"/instances/{instance.pk}/prompt/").content.decode()
    form = prompt_form(instance, text="Put the hair up, at the beach.")
    browser_of(lea).post(f"/instances/{instance.pk}/prompt/", form)
    instance.refresh_from_db()
    assert instance.prompt.text == "Put the hair up, at the beach."
    assert DifferentialPrompt.objects.count() == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "nothing was changed"),
        ({"base": "0"}, "somebody else edited"),
        ({"hairstyle-changed": "on", "hairstyle-target": "a bun"}, "sentence for hairstyle is empty"),
        (
            {"hairstyle-changed": "on", "hairstyle-target": "as before", "hairstyle-statement": "So."},
            "in the primary already",
        ),
        ({"text": "word " * 500}, "2000 are allowed"),
    ],
)
def test_a_wrong_edit_is_explained_and_not_lost(lea, changes, says):
    instance = make_instance(background="a beach")
    answer = browser_of(lea).post(f"/instances/{instance.pk}/prompt/", prompt_form(instance, **changes))
    assert answer.status_code == 422 and says in answer.content.decode()
    assert changes.get("hairstyle-target", "a beach") in answer.content.decode()
    assert DifferentialPrompt.objects.count() == 1


def test_videos_keep_the_prompt_they_were_made_with(lea):
    instance = make_instance(background="a beach")
    make_sample(instance, make_model())
    lead = browser_of(lea)
    form = prompt_form(instance, text="Everything happens at the beach.")
    answer = lead.post(f"/instances/{instance.pk}/prompt/", form)
    copy = Instance.objects.exclude(pk=instance.pk).get()
    assert answer.headers["Location"] == f"/instances/{copy.pk}/prompt/"
    instance.refresh_from_db()
    assert instance.prompt.text == "The background changes to a beach."
    assert copy.prompt.text == "Everything happens at the beach."
    places = [list(item.places.values_list("reference", "position")) for item in (instance, copy)]
    assert places[0] == places[1] and len(places[0]) == 3
    assert f"instance {copy.pk}" in lead.get(f"/instances/{instance.pk}/prompt/").content.decode()
    assert lead.post(f"/instances/{instance.pk}/prompt/", form).status_code == 422
    with pytest.raises(IntegrityError, match="keeps its prompt"), transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(prompt=copy.prompt)
