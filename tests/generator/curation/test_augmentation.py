"""Recipes keep their promises on any annotation, and cut the pixels that they name."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generator.curation.annotation import ClipAnnotation
from generator.curation.augmentation import (
    MAX_SPAN,
    MIN_SIDE,
    MIN_SPAN,
    Recipe,
    apply_recipe,
    draw_recipe,
    possible_kinds,
)
from generator.files import file_sha256
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.media.video import read_clip
from generator.records import ReferenceKind
from tests.generator.curation.annotations import annotate, face, human

PHOTO, HALF_BODY, CLIP = (ReferenceKind.PHOTO, ReferenceKind.HALF_BODY, ReferenceKind.CLIP)


def walking(length: int, *, size: tuple[int, int] = (160, 120), stride: int = 1) -> ClipAnnotation:
    """A person of 40x100 pixels who walks from left to right, two pixels per frame."""
    frames = [
        ([face(10 + 2 * index, 12, 20)], [human(2 * index, 10, 40, 100)])
        for index in range(0, length, stride)
    ]
    return annotate(frames, size=size, num_frames=length, stride=stride)


def covers(recipe: Recipe, left: float, top: float, right: float, bottom: float) -> bool:
    return (
        recipe.left <= left
        and recipe.top <= top
        and recipe.left + recipe.width >= right
        and recipe.top + recipe.height >= bottom
    )


@pytest.mark.slow
def test_every_recipe_lies_within_its_file() -> None:
    rng = random.Random(0)
    for seed in range(300):
        size = (rng.randrange(32, 200), rng.randrange(32, 200))
        frames = [
            (
                [face(rng.uniform(-30, size[0]), rng.uniform(-30, size[1]), rng.uniform(4, 120))],
                [human(*(rng.uniform(-40, size[0]) for _ in range(2)), *(rng.uniform(4, 250) for _ in "wh"))],
            )
            for _ in range(rng.randrange(1, 40))
        ]
        annotation = annotate(frames, size=size)
        for kind in possible_kinds(annotation):
            recipe = draw_recipe(annotation, seed=seed, kinds=[kind])
            assert recipe.kind is kind
            assert 0 <= recipe.start < recipe.end <= annotation.num_frames
            assert 0 <= recipe.left < recipe.left + recipe.width <= size[0]
            assert 0 <= recipe.top < recipe.top + recipe.height <= size[1]
            assert min(recipe.width, recipe.height) >= MIN_SIDE or kind is HALF_BODY
            assert recipe.end - recipe.start == 1 or kind is CLIP
            if kind is CLIP:
                assert recipe.width % 2 == recipe.height % 2 == 0
                assert MIN_SPAN <= recipe.end - recipe.start <= MAX_SPAN
                assert (recipe.end - recipe.start) % 4 == 1


@pytest.mark.slow
def test_the_seed_alone_decides() -> None:
    annotation = walking(40)
    recipes = [draw_recipe(annotation, seed=seed) for seed in range(200)]
    assert recipes == [draw_recipe(annotation, seed=seed) for seed in range(200)]
    assert len(set(recipes)) > 150
    assert Counter(recipe.kind for recipe in recipes).keys() == set(ReferenceKind)
    assert min(Counter(recipe.kind for recipe in recipes).values()) > 40
    for recipe in recipes:
        assert recipe == draw_recipe(annotation, seed=recipe.seed, kinds=[recipe.kind])
        assert recipe == Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    other = replace(annotation, sha256="1" * 64)
    assert [draw_recipe(other, seed=seed).start for seed in range(9)] != [r.start for r in recipes[:9]]


def test_a_face_image_is_around_the_face_of_its_frame() -> None:
    annotation = walking(40)
    for seed in range(50):
        recipe = draw_recipe(annotation, seed=seed, kinds=[PHOTO])
        left = 10 + 2 * recipe.start
        assert covers(recipe, left, 12, min(left + 20, 160), 32)
        assert recipe.width <= 38 and recipe.height <= 38


def test_a_half_body_shows_the_face_and_ends_at_the_waist() -> None:
    tall = annotate([([face(120, 24, 20)], [human(80, 10, 100, 380)])], size=(320, 400))
    waist = 24 + 5 * 20
    heights = set()
    for seed in range(50):
        recipe = draw_recipe(tall, seed=seed, kinds=[HALF_BODY])
        assert covers(recipe, 115, 19, 145, 49), "the whole head, however tight the crop"
        assert recipe.top + recipe.height <= waist + 0.15 * (waist - 10) + 1
        heights.add(recipe.height)
    assert min(heights) < waist - 10 < max(heights), "tighter and wider than the box itself"


@pytest.mark.parametrize("stride", [1, 4])
def test_a_clip_is_cut_to_where_the_person_goes(stride: int) -> None:
    annotation = walking(41, stride=stride)
    for seed in range(50):
        recipe = draw_recipe(annotation, seed=seed, kinds=[CLIP])
        first, last = 2 * recipe.start, min(2 * (recipe.end - 1) + 40, 158)
        assert covers(recipe, first, 10, last, 109)
        assert recipe.width <= last - first + 2 * 2 * stride + 2


def test_a_clip_stays_within_one_shot() -> None:
    annotation = replace(walking(60), shots=((0, 5), (5, 30), (30, 60)))
    shots = Counter(
        next(shot for shot in annotation.shots if shot[0] <= recipe.start and recipe.end <= shot[1])
        for recipe in (draw_recipe(annotation, seed=seed, kinds=[CLIP]) for seed in range(60))
    )
    assert shots.keys() == {(5, 30), (30, 60)}


def test_frames_without_a_face_are_not_drawn() -> None:
    frames = [([face(20, 20, 20)] if index == 7 else [], [human(10, 10, 40, 50)]) for index in range(20)]
    annotation = annotate(frames)
    for seed in range(20):
        assert draw_recipe(annotation, seed=seed, kinds=[PHOTO]).start == 7
        clip = draw_recipe(annotation, seed=seed, kinds=[CLIP])
        assert clip.start <= 7 < clip.end


def test_what_a_file_cannot_give_is_said() -> None:
    photo = annotate([([face(20, 20, 20)], [human(10, 10, 40, 50)])])
    assert possible_kinds(photo) == (PHOTO, HALF_BODY)
    with pytest.raises(
        ValueError, match=r"no clip can be cut out of 0000.*\(1 frames\): it gives photo, half"
    ):
        draw_recipe(photo, seed=0, kinds=[CLIP])
    empty = annotate([([], [human(10, 10, 40, 50)])] * 20)
    assert possible_kinds(empty) == ()
    with pytest.raises(ValueError, match="nothing, for want of a face"):
        draw_recipe(empty, seed=0)
    alone = annotate([([face(20, 20, 20)], [])] * 20)
    assert possible_kinds(alone) == (PHOTO,)
    tiny = annotate([([face(20, 20, 6)], [human(18, 18, 10, 30)])] * 20)
    assert possible_kinds(tiny) == ()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Frame k is grey 10 + 4 k, with a brighter left half, so that a cut tells where it is from."""
    frames = np.stack([np.full((48, 64, 3), 10 + 4 * index, np.uint8) for index in range(30)])
    frames[:, :, :32] += 100
    write_clip(tmp_path / "clip.mp4", frames, 8)
    return tmp_path / "clip.mp4"


def test_it_cuts_the_frames_and_pixels_that_it_names(clip: Path) -> None:
    recipe = Recipe(CLIP, file_sha256(clip), 12, 21, 20, 10, 30, 20, 0)
    cut = apply_recipe(recipe, clip)
    assert cut.shape == (9, 20, 30, 3)
    assert np.array_equal(cut, read_clip(clip).frames[12:21, 10:30, 20:50])
    assert np.abs(cut[4, 10, 25].astype(int) - (10 + 4 * 16)).max() <= 4
    assert np.array_equal(cut, apply_recipe(recipe, clip))


def test_it_cuts_photos(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    write_photo(tmp_path / "photo.png", pixels)
    recipe = Recipe(PHOTO, file_sha256(tmp_path / "photo.png"), 0, 1, 5, 6, 17, 19, 0)
    assert np.array_equal(apply_recipe(recipe, tmp_path / "photo.png")[0], pixels[6:25, 5:22])


def test_it_refuses_another_file_and_what_lies_outside(clip: Path) -> None:
    recipe = Recipe(CLIP, file_sha256(clip), 25, 34, 0, 0, 10, 10, 0)
    with pytest.raises(ValueError, match="ends before frame 33"):
        apply_recipe(recipe, clip)
    with pytest.raises(ValueError, match="leaves a frame of 64x48"):
        apply_recipe(replace(recipe, end=30, left=60), clip)
    with pytest.raises(ValueError, match="drawn for 0000"):
        apply_recipe(replace(recipe, source_sha256="0" * 64), clip)


@pytest.mark.parametrize(
    "change", [{"kind": "hologram"}, {"end": 0}, {"left": -1}, {"width": 0}, {"more": 1}, {"seed": None}]
)
def test_it_refuses_a_damaged_recipe(change: dict[str, object]) -> None:
    item = Recipe(CLIP, "0" * 64, 0, 9, 0, 0, 10, 10, 0).to_json() | change
    item = {name: value for name, value in item.items() if value is not None}
    with pytest.raises(ValueError):
        Recipe.from_json(item)
