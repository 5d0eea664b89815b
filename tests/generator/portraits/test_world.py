"""The portrait world: seeds, hidden marks, elements, people's folders."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from generator.media.video import read_clip
from generator.portraits.__main__ import main, write_people
from generator.portraits.drawing.head import plan_view
from generator.portraits.people import FRONT_CLIPS, HALF_BODIES, PHOTOS, SIDE_CLIPS, plan_person
from generator.portraits.render import render_clip
from generator.portraits.world import (
    CHECKPOINT_SEEDS,
    CHOICES,
    CONTINUOUS,
    ELEMENT_STATES,
    IDENTITY_SIZE,
    SPLIT_SEEDS,
    change_elements,
    draw_elements,
    draw_identity,
    phrase_change,
)
from generator.records import ELEMENTS, ReferenceKind

PLAIN = {
    "camera_shot": "close-up",
    "hairstyle": "short hair",
    "clothing": "a red shirt",
    "accessories": "no accessories",
    "expression": "neutral",
    "action": "holding still",
    "background": "a grey studio",
}


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_it_draws_equal_pixels_for_equal_seeds() -> None:
    clip = render_clip(draw_identity(1), PLAIN, seed=2)
    assert clip.shape == (9, 64, 64, 3) and clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, render_clip(draw_identity(1), PLAIN, seed=2))
    assert difference(clip, render_clip(draw_identity(1), PLAIN, seed=3)) > 0
    assert difference(clip, render_clip(draw_identity(4), PLAIN, seed=2)) > 1


def test_it_hides_a_cheek_mark_from_the_front_and_from_the_other_side() -> None:
    """People who differ by the mark on one cheek look alike until the head turns that cheek here."""
    marked = dataclasses.replace(draw_identity(1), left_cheek=2)
    bare = dataclasses.replace(marked, left_cheek=0)

    def seen(yaw: float) -> float:
        clips = [render_clip(who, PLAIN, num_frames=1, seed=0, yaw=yaw) for who in (marked, bare)]
        return difference(*clips)

    assert seen(0.9) > 3 * seen(0.0)
    assert seen(-0.5) == 0.0


@pytest.mark.parametrize("element", ELEMENTS)
def test_it_shows_every_state_of_an_element_differently(element: str) -> None:
    looks = [{**PLAIN, element: state} for state in ELEMENT_STATES[element]]
    clips = [render_clip(draw_identity(1), look, seed=2) for look in looks]
    for place, clip in enumerate(clips):
        assert all(difference(clip, other) > 0.2 for other in clips[place + 1 :])


def test_it_turns_the_head_the_way_the_action_says() -> None:
    rng = np.random.default_rng(0)
    assert plan_view("turning left", 9, rng).yaw[-1] < -0.7
    assert plan_view("turning right", 9, rng).yaw[-1] > 0.7
    assert np.ptp(plan_view("holding still", 9, rng).yaw) == 0
    assert plan_view("waving", 9, rng).wave is not None


def test_it_describes_an_identity_in_numbers_between_zero_and_one() -> None:
    """Eight one-hot traits, so eight ones among the discrete numbers, then nine continuous ones."""
    vector = draw_identity(5).vector()
    assert vector.shape == (IDENTITY_SIZE,) == (sum(CHOICES.values()) + len(CONTINUOUS),)
    assert vector.min() >= 0 and vector.max() <= 1
    assert vector[: -len(CONTINUOUS)].sum() == len(CHOICES)


def test_it_changes_the_share_of_elements_it_is_asked_to() -> None:
    """Over 300 draws of 7 at 0.25: 525 changes, within five standard deviations (sqrt(2100 * .25 * .75))."""
    rng = np.random.default_rng(0)
    start = draw_elements(rng)
    drawn = [change_elements(start, 0.25, rng) for _ in range(300)]
    changes = sum(after[element] != start[element] for after in drawn for element in ELEMENTS)
    assert abs(changes - 525) < 5 * 20
    assert change_elements(start, 0.0, rng) == start
    assert all(value != start[name] for name, value in change_elements(start, 1.0, rng).items())


def test_it_says_a_change_in_several_ways_that_name_the_state() -> None:
    for element, states in ELEMENT_STATES.items():
        for state in states:
            sentences = {phrase_change(element, state, index) for index in range(4)}
            assert len(sentences) == 4
            assert all(state in sentence and sentence.endswith(".") for sentence in sentences)
    assert phrase_change("clothing", "a red shirt", 0) == "The person now wears a red shirt."


def test_it_refuses_states_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="unknown element 'shoes'"):
        phrase_change("shoes", "a red shirt", 0)
    with pytest.raises(ValueError, match="clothing cannot be 'a kilt'; it must be one of a red shirt"):
        phrase_change("clothing", "a kilt", 0)


def test_it_keeps_the_splits_and_the_checkpoints_people_apart() -> None:
    starts = sorted([CHECKPOINT_SEEDS, *SPLIT_SEEDS.values()])
    assert all(after - before == 10_000_000 for before, after in zip(starts, starts[1:], strict=False))


def test_it_plans_what_a_person_has() -> None:
    items = plan_person(3)
    kinds = [item.kind for item in items]
    assert kinds.count(ReferenceKind.CLIP) == FRONT_CLIPS + SIDE_CLIPS
    assert kinds.count(ReferenceKind.PHOTO) == PHOTOS
    assert kinds.count(ReferenceKind.HALF_BODY) == HALF_BODIES
    assert all(item.elements["action"] == "holding still" for item in items if item.num_frames == 1)
    assert all(
        (item.elements["camera_shot"] == "wide shot") == (item.kind is ReferenceKind.HALF_BODY)
        for item in items
        if item.num_frames == 1
    )
    assert plan_person(3) == items


def test_it_writes_people_that_say_what_they_are(tmp_path) -> None:
    (folder,) = write_people(tmp_path, 1, "eval", seed=4)
    card = json.loads((folder / "identity.json").read_text())
    assert card["truth"]["identity_seed"] == SPLIT_SEEDS["eval"] + 4000
    assert (card["source"], card["licence"], card["split"]) == ("portraits", "CC0-1.0", "eval")
    assert sorted(card["files"]) == sorted(p.name for p in folder.iterdir() if p.name != "identity.json")
    item = plan_person(card["truth"]["identity_seed"])[0]
    assert card["files"]["clip_0.mp4"] == {"kind": "clip", "elements": dict(item.elements)}
    drawn = item.render(draw_identity(card["truth"]["identity_seed"]))
    stored = read_clip(folder / "clip_0.mp4").frames
    assert stored.shape == drawn.shape
    assert difference(stored, drawn) < 8


def test_it_leaves_complete_people_alone_and_finishes_others(tmp_path) -> None:
    first, second = write_people(tmp_path, 2, "train")
    before = (first / "clip_0.mp4").stat().st_mtime_ns
    (second / "identity.json").unlink()
    (second / "clip_1.mp4").unlink()
    write_people(tmp_path, 2, "train")
    assert (first / "clip_0.mp4").stat().st_mtime_ns == before
    assert (second / "identity.json").exists() and (second / "clip_1.mp4").exists()


def test_it_names_a_number_out_of_range(tmp_path, capsys) -> None:
    assert main([str(tmp_path), "--identities", "0"]) == 1
    assert "identities is 0; it must be 1 to 1000" in capsys.readouterr().err
    assert main([str(tmp_path), "--identities", "1", "--seed", "10000"]) == 1
    assert "seed is 10000" in capsys.readouterr().err


def test_it_draws_without_torch() -> None:
    modules = "generator.portraits.world, generator.portraits.render, generator.portraits.people"
    code = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
