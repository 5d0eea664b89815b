"""Curation in a real browser: decisions by hand with undo, and boxes that follow the frames."""

from __future__ import annotations

import pytest
from django.conf import settings
from playwright.sync_api import expect

from annotate.models import CurationDecision, User
from annotate.people.queries import annotation_path, usable_references
from generator.curation.annotation import (
    Box,
    ClipAnnotation,
    DetectorInfo,
    Face,
    FrameAnnotation,
    Human,
    save_annotation,
)
from tests.browser.conftest import Visit
from tests.factories import make_group, make_instance, make_measures, make_reference


def test_a_lead_drops_a_reference_and_takes_it_back(visit: Visit, lea: User) -> None:
    group = make_group(truth=None)
    reference = make_reference(group, quality=make_measures(), source_name="walk.mp4")
    page = visit(lea, f"/people/{group.pk}/")
    card = page.locator(f"#reference-{reference.pk}")
    expect(card.locator(".state")).to_have_text("usable")
    card.get_by_role("button", name="Drop walk.mp4").click()
    expect(card.locator(".state")).to_have_text("not used")
    expect(card).to_contain_text("Dropped by lea")
    assert not usable_references().exists()
    card.get_by_role("button", name="Undo the decision on walk.mp4").click()
    expect(card.locator(".state")).to_have_text("usable")
    assert usable_references().get() == reference
    assert list(CurationDecision.objects.values_list("choice", flat=True)) == ["drop", "automatic"]


def test_deciding_works_without_javascript(visit: Visit, lea: User) -> None:
    group = make_group(truth=None)
    make_reference(group, quality=make_measures(), source_name="walk.mp4")
    page = visit(lea, f"/people/{group.pk}/", java_script_enabled=False)
    page.get_by_role("button", name="Drop walk.mp4").click()
    expect(page.locator(".reference .state")).to_have_text("not used")


def test_boxes_follow_the_frame_that_is_shown(visit: Visit, lea: User) -> None:
    """The clip's block stands at 4 x frame, and so does the face in its record."""
    reference = make_reference(make_group(truth=None), quality=make_measures())
    frames = tuple(
        FrameAnnotation(
            index,
            (Face(Box(4.0 * index, 20, 12, 20), None, None, None, None, None, 50.0),),
            (Human(Box(1, 2, 60, 62), False, None),),
        )
        for index in range(9)
    )
    info = DetectorInfo("tests", "1", {})
    record = ClipAnnotation(reference.sha256, 64, 64, 9, 8.0, ((0, 9),), frames, 1, info, info)
    save_annotation(settings.STORAGE_ROOT / annotation_path(reference), record)
    page = visit(lea, f"/people/{reference.group_id}/")
    page.evaluate("() => { document.querySelector('.shown video').preload = 'auto'; }")
    page.wait_for_function("() => document.querySelector('.shown video').readyState >= 2")
    for frame in (3, 7, 0):
        page.evaluate(
            "(time) => { document.querySelector('.shown video').currentTime = time; }", (frame + 0.5) / 8
        )
        face = page.locator(".boxes .face")
        expect(face).to_have_attribute("x", str(4 * frame))
        shown, video = face.bounding_box(), page.locator(".shown video").bounding_box()
        assert shown is not None and video is not None
        assert shown["x"] - video["x"] == pytest.approx(4 * frame * video["width"] / 64, abs=3)
    assert page.locator(".boxes .human").count() == 1


def test_the_text_of_a_prompt_follows_its_sentences_until_it_is_written(visit: Visit, lea: User) -> None:
    instance = make_instance(background="a beach")
    page = visit(lea, f"/instances/{instance.pk}/prompt/")
    text = page.get_by_label("What the model reads")
    page.get_by_label("Sentence for hairstyle").fill("Put the hair up")
    page.get_by_label("hairstyle in the target").fill("a bun")
    page.get_by_label("hairstyle changes").check()
    expect(text).to_have_value("Put the hair up. The background changes to a beach.")
    text.fill("Hair up, at the beach.")
    page.get_by_label("Sentence for hairstyle").fill("Put all of the hair up")
    expect(text).to_have_value("Hair up, at the beach.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".history li")).to_have_count(1)
    instance.refresh_from_db()
    assert instance.prompt.text == "Hair up, at the beach."
