"""Quality without weights: clips whose figures are known before they are measured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from generator.media.encoder import write_clip
from rlhf.evaluation.metrics.quality import (
    cleanness,
    dynamic_degree,
    exposure,
    imaging_quality,
    make,
    motion_smoothness,
    sharpness,
    temporal_flickering,
)
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import EvaluationInstance, MetricError

ASKED = EvaluationInstance("i", "", (), ())
SIDE, FRAMES = 64, 9


def scene(shift: float = 0.0, side: int = SIDE) -> NDArray[np.uint8]:
    """Soft discs on a gradient, moved to the right by some pixels: something to see at every frequency."""
    y, x = np.mgrid[:side, :side].astype(float)
    x = x - shift
    picture = 90 + 40 * np.sin(x / 5) + 30 * np.cos(y / 7)
    for column, row, radius in ((20, 20, 9), (44, 30, 6), (28, 48, 11)):
        picture += 25 - 25 * np.tanh(2 * (np.hypot(x - column, y - row) - radius))
    return np.repeat(picture.clip(20, 235).astype(np.uint8)[..., None], 3, axis=2)


def sliding(pixels_a_frame: float) -> NDArray[np.uint8]:
    return np.stack([scene(pixels_a_frame * number) for number in range(FRAMES)])


def noise(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (FRAMES, SIDE, SIDE, 3)).astype(np.uint8)


def noisy(frames: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    return (
        (frames + np.random.default_rng(0).normal(0, deviation, frames.shape)).clip(0, 255).astype(np.uint8)
    )


def test_a_still_clip_is_perfectly_steady_and_does_not_move() -> None:
    still = np.stack([scene()] * FRAMES)
    assert temporal_flickering(still) == motion_smoothness(still) == 1.0
    assert dynamic_degree(still, 8) == 0.0


def test_flicker_of_noise_is_the_mean_distance_of_two_numbers_drawn_evenly() -> None:
    """E|X - Y| of two of the numbers 0..255 is (256 - 1/256) / 3."""
    assert temporal_flickering(noise()) == pytest.approx(1 - (256 - 1 / 256) / 3 / 255, abs=0.005)


def test_alternating_brightness_costs_its_size_twice() -> None:
    """What lies between two equal frames is that frame, so every second one is off by the whole step."""
    step = 20
    frames = np.stack([scene() + np.uint8(step * (number % 2)) for number in range(FRAMES)])
    assert temporal_flickering(frames) == pytest.approx(1 - step / 255)
    assert motion_smoothness(frames) == pytest.approx(1 - step / 255)


def test_a_clip_that_shows_each_frame_twice_stutters() -> None:
    even = sliding(1.0)
    stutter = np.repeat(even, 2, axis=0)
    for shown_from in (0, 1):
        assert motion_smoothness(stutter[shown_from:]) < motion_smoothness(even)
    assert 1 - motion_smoothness(even) < 0.5 * (1 - temporal_flickering(even))


def test_much_moves_where_the_flow_is_longer_than_the_bound() -> None:
    bound = 6 * SIDE / 256
    assert dynamic_degree(sliding(0.5 * bound), 8) == 0.0
    assert dynamic_degree(sliding(1.5 * bound), 8) == 1.0
    # Three frames in one step of VBench's eighth of a second: what was slow is fast.
    assert dynamic_degree(sliding(0.5 * bound), 24) == 1.0


def test_blur_and_noise_each_cost_quality_and_more_of_it_costs_more() -> None:
    sharp = sliding(1.0)
    blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), s) for frame in sharp]) for s in (1, 2, 4)]
    for row in (blurred, [noisy(sharp, deviation) for deviation in (4, 8, 16)]):
        figures = [imaging_quality(clip) for clip in (sharp, *row)]
        assert figures == sorted(figures, reverse=True)
        assert figures[-1] < figures[0] - 0.03


def test_noise_is_found_at_its_size() -> None:
    """Of Gaussian noise on an even grey; the calmest tenth of the blocks lies a little below the mean."""
    even = np.full((256, 256), 128, np.uint8)
    assert cleanness(even) == 1.0
    for deviation in (3.0, 6.0):
        grey = (even + np.random.default_rng(1).normal(0, deviation, even.shape)).round().astype(np.uint8)
        assert 0.8 * deviation < 15 * (1 - cleanness(grey)) < deviation


def test_nothing_is_sharp_in_an_even_area_and_exposure_is_a_share() -> None:
    half = np.full((32, 32), 128, np.uint8)
    assert sharpness(half) == 0.0
    half[:16] = 255
    assert exposure(half) == 0.5


def test_a_file_gives_both_columns_with_every_dimension(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", sliding(1.0), 8)
    metric = make(MetricOptions())
    scores = metric.score(tmp_path / "clip.mp4", ASKED, Path)
    assert set(scores.values) == set(metric.facts.columns) and not scores.holes
    for column, value in scores.values.items():
        assert value == pytest.approx(
            np.mean([scores.details[name] for name in metric.facts.settings[column]])
        )
        assert 0 <= value <= 1


def test_two_frames_have_no_dynamics_and_specks_no_quality(tmp_path: Path) -> None:
    write_clip(tmp_path / "short.mp4", sliding(1.0)[:2], 8)
    scores = make(MetricOptions()).score(tmp_path / "short.mp4", ASKED, Path)
    assert set(scores.values) == {"sta"}
    assert scores.holes["dyn"] == "has 2 frames; what happens between frames needs 3"
    write_clip(tmp_path / "speck.mp4", sliding(1.0)[:, :8, :8], 8)
    with pytest.raises(MetricError, match=r"speck\.mp4 has 8x8 pixels; quality needs 16 a side"):
        make(MetricOptions()).score(tmp_path / "speck.mp4", ASKED, Path)


def test_a_large_frame_is_looked_at_as_a_smaller_one(tmp_path: Path) -> None:
    """Twice the size in both directions shrinks to the same frames, up to what the encoder loses."""
    small = np.stack([scene(side=512)] * 3)
    for name, frames in (("small", small), ("large", small.repeat(2, axis=1).repeat(2, axis=2))):
        write_clip(tmp_path / f"{name}.mp4", frames, 8)
    one, other = (make(MetricOptions()).score(tmp_path / f"{n}.mp4", ASKED, Path) for n in ("small", "large"))
    assert one.values["sta"] == pytest.approx(other.values["sta"], abs=0.02)


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no setting 'frames'; there is learned"):
        make(MetricOptions(settings={"frames": 8}))
    with pytest.raises(ValueError, match="learned is 'yes'; it must be true or false"):
        make(MetricOptions(settings={"learned": "yes"}))
