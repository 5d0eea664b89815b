"""Ele metrics by planted models: an element is a coloured square, found by its colour's name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.curation.weights import Weights
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.records import ReferenceKind
from rlhf.evaluation.metrics.elements import ElementMetric, ElementSettings
from rlhf.evaluation.metrics.elements_cutout import Cutout, cut_out
from rlhf.evaluation.records import NOT_ASKED, EvaluationInstance, MetricError, NamedElement, VideoScores

#: Where a square of each name stands, and which channel is its colour.
PLACES = {"red": (np.s_[4:20, 4:20], 0), "green": (np.s_[24:44, 30:60], 1)}
#: What writing a clip may change of a colour.
LOSS = 0.04
Scene = dict[str, int]


def scene(**brightness: int) -> NDArray[np.uint8]:
    """Squares by name on black; an element is as like another as their brightness."""
    picture = np.zeros((48, 64, 3), np.uint8)
    for name, value in brightness.items():
        place, channel = PLACES[name]
        picture[place][..., channel] = value
    return picture


class ByColour:
    """Finds a square by its name; the larger, the surer."""

    def __init__(self) -> None:
        self.looks = 0

    def find(self, picture: NDArray[np.uint8], name: str) -> Cutout | None:
        self.looks += 1
        pixels, channel = picture.astype(int), PLACES[name][1]
        mask = pixels[..., channel] - np.delete(pixels, channel, axis=2).max(axis=2) > 40
        return cut_out(picture, mask, float(mask.mean()))


class ByBrightness:
    """Embeds a cutout by how bright it is: a turn of a quarter from 0 to 255."""

    def embed(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        cut = [picture[picture.min(axis=2) < 128].max(axis=1) for picture in pictures]
        turns = [np.median(brightness) / 255 * np.pi / 2 for brightness in cut]
        return np.stack([np.cos(turns), np.sin(turns)], axis=1)


class ByNothing:
    """Takes everything for one thing."""

    def embed(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        return np.tile((1.0, 0.0), (len(pictures), 1))


class Studio:
    """Writes media, and asks a metric about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weights = tuple(
            Weights(name, folder, sha256, "", licence, non_commercial=False)
            for name, sha256, licence in (("a", "0", "MIT"), ("b", "1", "Apache-2.0"), ("c", "2", "MIT"))
        )
        embedders = {"ele_clip": ByBrightness(), "ele_dino": ByNothing()}
        self.metric = ElementMetric(ByColour(), embedders, weights)

    def photo(self, name: str, **brightness: int) -> str:
        write_photo(self.folder / f"{name}.png", scene(**brightness))
        return f"{name}.png"

    def clip(self, name: str, *scenes: Scene) -> str:
        write_clip(self.folder / f"{name}.mp4", np.stack([scene(**one) for one in scenes]), 8)
        return f"{name}.mp4"

    def score(self, video: str, primary: str, *elements: NamedElement) -> VideoScores:
        references = ((primary, ReferenceKind.PHOTO),)
        instance = EvaluationInstance("i", "p", references, (primary,), elements=elements)
        return self.metric.score(self.folder / video, instance, lambda path: self.folder / path)


@pytest.fixture
def studio(tmp_path) -> Studio:
    return Studio(tmp_path)


RED, GREEN = NamedElement("red"), NamedElement("green")


def test_a_clip_has_its_own_elements(studio):
    clip = studio.clip("clip", *[{"red": red, "green": 120} for red in (90, 150, 210)])
    scores = studio.score(clip, clip, RED, GREEN)
    assert scores.values == pytest.approx({"ele_clip": 1, "ele_dino": 1})
    assert scores.holes == {}
    assert [(found["name"], found["detection_rate"]) for found in scores.details["elements"]] == [
        ("red", 1),
        ("green", 1),
    ]


def test_another_thing_of_the_name_scores_by_how_alike_it_is(studio):
    """A turn of 0.4 of a quarter: cos 36 degrees."""
    video, primary = studio.clip("video", *[{"red": 204}] * 3), studio.photo("primary", red=102)
    scores = studio.score(video, primary, RED)
    assert scores.values["ele_clip"] == pytest.approx((1 + np.cos(np.radians(36))) / 2, abs=LOSS)
    assert scores.details["elements"][0]["ele_clip"]["cosines"] == pytest.approx(
        [np.cos(np.radians(36))] * 3, abs=LOSS
    )
    studio.metric.settings = ElementSettings(scale="clip")
    clipped = studio.score(video, primary, RED)
    assert clipped.values["ele_clip"] == pytest.approx(np.cos(np.radians(36)), abs=LOSS)


def test_an_element_that_is_seen_once_does_not_score_like_one_that_stays(studio):
    """1 frame of 8."""
    video, primary = studio.clip("video", {"red": 200}, *[{"green": 99}] * 7), studio.photo("p", red=200)
    scores = studio.score(video, primary, RED)
    assert scores.values == pytest.approx({"ele_clip": 1 / 8, "ele_dino": 1 / 8}, abs=LOSS / 8)
    (found,) = scores.details["elements"]
    assert found["detection_rate"] == 1 / 8
    assert found["ele_clip"]["cosines"][1:] == found["confidence"][1:] == [None] * 7
    assert scores.details["frames"] == list(range(8))


def test_it_is_the_mean_over_elements_in_any_order(studio):
    """Red is kept in all frames, green is in none of them."""
    video, primary = studio.clip("video", *[{"red": 200}] * 4), studio.photo("p", red=200, green=200)
    scores = studio.score(video, primary, RED, GREEN)
    assert scores.values == pytest.approx({"ele_clip": 1 / 2, "ele_dino": 1 / 2}, abs=LOSS)
    assert studio.score(video, primary, GREEN, RED).values == pytest.approx(scores.values)
    assert json.loads(json.dumps(scores.details)) == scores.details


def test_an_element_has_its_own_picture(studio):
    video, primary = studio.clip("video", *[{"red": 204}] * 2), studio.photo("primary", red=102)
    own = NamedElement("red", studio.photo("own", red=204))
    assert studio.score(video, primary, own).values["ele_clip"] == pytest.approx(1, abs=LOSS)
    assert studio.score(video, primary, RED).values["ele_clip"] < 0.95
    # Two of one name are two, each with its own picture.
    both = studio.score(video, primary, own, RED).details["elements"]
    assert [found["name"] for found in both] == ["red", "red"]
    assert both[0]["ele_clip"]["value"] > both[1]["ele_clip"]["value"]


def test_of_a_clip_the_look_closest_to_the_frame_counts(studio):
    primary = studio.clip("primary", {"red": 102}, {"green": 200}, {"red": 204})
    video = studio.clip("video", {"red": 204}, {"red": 102})
    assert studio.score(video, primary, RED).values["ele_clip"] == pytest.approx(1, abs=LOSS)


def test_a_picture_without_its_element_is_a_hole_and_no_zero(studio):
    video, primary = studio.clip("video", *[{"red": 200}] * 2), studio.photo("p", green=200)
    with pytest.raises(MetricError, match="p.png shows no 'red'; name another picture of it") as caught:
        studio.score(video, primary, GREEN, RED)
    assert "\n" not in str(caught.value)
    bare = EvaluationInstance("i", "p", (), (), elements=(RED,))
    with pytest.raises(MetricError, match="'red' of i has no picture and no primary reference"):
        studio.metric.score(studio.folder / video, bare, lambda path: studio.folder / path)


def test_who_names_no_element_is_not_asked(studio):
    scores = studio.score("video that nobody reads", "primary")
    assert scores.values == {}
    assert scores.holes == dict.fromkeys(("ele_clip", "ele_dino"), f"{NOT_ASKED}no element is named")


def test_pictures_of_elements_are_looked_at_once(studio):
    video, primary = studio.clip("video", *[{"red": 200}] * 3), studio.photo("p", red=200)
    first = studio.score(video, primary, RED)
    looks = studio.metric.finder.looks
    assert studio.score(video, primary, RED) == first
    assert (looks, studio.metric.finder.looks) == (4, 7)


def test_facts_name_all_weights(studio):
    facts = studio.metric.facts
    assert (facts.columns, facts.licence) == (("ele_clip", "ele_dino"), "Apache-2.0, MIT")
    assert facts.settings["weights"]["b"] == {"sha256": "1", "licence": "Apache-2.0"}
    assert "counts 0" in facts.missing
    others = [
        ElementMetric(studio.metric.finder, studio.metric.embedders, weights, settings).facts.sha256
        for weights, settings in (
            (studio.metric.weights[:2], ElementSettings()),
            (studio.metric.weights, ElementSettings(box_threshold=0.3)),
            (studio.metric.weights, ElementSettings()),
        )
    ]
    assert [other == facts.sha256 for other in others] == [False, False, True]


def test_settings_that_find_nothing_are_refused():
    with pytest.raises(ValueError, match=r"box_threshold is 25; it must be in \[0, 1\]"):
        ElementSettings(box_threshold=25)


def test_a_cutout_stands_in_the_middle_of_white():
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:7] = True
    mask[1, 2] = False
    found = cut_out(picture, mask, 0.5)
    assert found is not None and found.picture.shape == (5, 5, 3)
    # Two rows of five: one white row above, two below, and a hole where the mask has one.
    assert (found.picture[[0, 3, 4]] == 255).all() and (found.picture[1, 0] == 255).all()
    assert (found.picture[1, 1:] == picture[1, 3:7]).all() and (found.picture[2] == picture[2, 2:7]).all()
    assert cut_out(picture, np.zeros((6, 8), bool), 0.5) is None
