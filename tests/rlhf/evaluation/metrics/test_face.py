"""Holi metrics by a planted detector and embedder: a face is a coloured square, its colour is who it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.protocols import FoundFace
from generator.curation.weights import Weights
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.media.video import read_clip
from generator.records import ReferenceKind
from rlhf.evaluation.metrics.face import FaceMetric, FaceSettings
from rlhf.evaluation.metrics.likeness import closest, spread_frames
from rlhf.evaluation.records import EvaluationInstance, MetricError, VideoScores
from tests.generator.media.media_files import grey_of, moving

RED, ORANGE, GREEN = (200, 0, 0), (200, 100, 0), (0, 200, 0)
#: Cosine of red and orange, and of orange and green.
NEAR, FAR = 2 / 5**0.5, 1 / 5**0.5
#: What writing a clip may change of a colour.
LOSS = 0.04


@dataclass
class Colours:
    """Finds whatever has a colour."""

    looks: int = 0
    info: DetectorInfo = field(default_factory=lambda: DetectorInfo("colours", "1", {}))

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        self.looks += 1
        rows, columns = np.nonzero(np.ptp(picture.astype(int), axis=2) > 60)
        if not len(rows):
            return []
        top, left = rows.min(), columns.min()
        return [FoundFace(Box(left, top, columns.max() - left + 1, rows.max() - top + 1))]


class MeanColour:
    """Embeds a face as the direction of its colour."""

    name = "mean colour"
    weights = Weights("colour", Path("none"), "c0ffee", "", "CC0-1.0", non_commercial=False)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        colours = crops.mean(axis=(1, 2))
        unit: NDArray[np.float64] = colours / np.linalg.norm(colours, axis=1, keepdims=True)
        return unit


def scene(colour: tuple[int, int, int] | None) -> NDArray[np.uint8]:
    picture = np.zeros((48, 64, 3), np.uint8)
    if colour is not None:
        picture[12:36, 20:44] = colour
    return picture


class Studio:
    """Writes media, and asks a metric about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metric = FaceMetric("holi_sface", Colours(), MeanColour())

    def photo(self, name: str, colour: tuple[int, int, int] | None) -> str:
        write_photo(self.folder / f"{name}.png", scene(colour))
        return f"{name}.png"

    def clip(self, name: str, *colours: tuple[int, int, int] | None) -> str:
        write_clip(self.folder / f"{name}.mp4", np.stack([scene(colour) for colour in colours]), 8)
        return f"{name}.mp4"

    def score(self, video: str, *id_group: str) -> VideoScores:
        primary = ((id_group[0], ReferenceKind.PHOTO),)
        instance = EvaluationInstance("i", "p", primary, id_group, identity="ann")
        return self.metric.score(self.folder / video, instance, lambda path: self.folder / path)


@pytest.fixture
def studio(tmp_path) -> Studio:
    return Studio(tmp_path)


def test_a_clip_is_its_own_person(studio):
    clip = studio.clip("clip", RED, ORANGE, GREEN)
    scores = studio.score(clip, clip)
    # Each frame's closest face of the clip is itself.
    cosines = np.array(scores.details["cosines"])
    assert cosines == pytest.approx(1)
    assert scores.values == pytest.approx({"holi_sface": 1})
    assert scores.details["detection_rate"] == 1


def test_somebody_else_scores_low_on_either_scale(studio):
    video, reference = studio.clip("video", *[RED] * 4), studio.photo("other", GREEN)
    assert studio.score(video, reference).values["holi_sface"] == pytest.approx(0.5, abs=LOSS)
    studio.metric = FaceMetric("holi_sface", Colours(), MeanColour(), FaceSettings(scale="clip"))
    assert studio.score(video, reference).values["holi_sface"] == pytest.approx(0, abs=LOSS)


def test_a_face_that_is_seen_once_does_not_score_like_one_that_stays(studio):
    """1 frame of 16 shows the very face: 1 / 16, not 1."""
    video, reference = studio.clip("video", RED, *[None] * 15), studio.photo("reference", RED)
    scores = studio.score(video, reference)
    assert scores.values["holi_sface"] == pytest.approx(1 / 16, abs=LOSS / 16)
    assert scores.details["detection_rate"] == 1 / 16
    assert scores.details["per_frame"][1:] == scores.details["cosines"][1:] == [None] * 15
    assert scores.details["frames"] == list(range(16))
    assert scores.details["similarity_when_seen"] == pytest.approx(1, abs=LOSS)


def test_a_video_without_any_face_is_told_as_such(studio):
    scores = studio.score(studio.clip("video", None, None), studio.photo("reference", RED))
    assert scores.values == {"holi_sface": 0}
    assert scores.details["detection_rate"] == 0
    assert scores.details["similarity_when_seen"] is None
    assert scores.details["per_reference"] == {"reference.png": 0}


def test_it_is_the_mean_over_all_references_in_any_order(studio):
    video = studio.clip("video", *[RED] * 4)
    group = [studio.photo(name, colour) for name, colour in (("a", RED), ("b", ORANGE), ("c", GREEN))]
    scores = studio.score(video, *group)
    expected = {"a.png": 1, "b.png": (1 + NEAR) / 2, "c.png": 1 / 2}
    assert scores.details["per_reference"] == pytest.approx(expected, abs=LOSS)
    assert scores.values["holi_sface"] == pytest.approx(np.mean(list(expected.values())), abs=LOSS)
    assert json.loads(json.dumps(scores.details)) == scores.details
    for cosines in scores.details["cosines"]:
        assert cosines == pytest.approx([1, NEAR, 0], abs=LOSS)
    assert studio.score(video, *reversed(group)).values == pytest.approx(scores.values, abs=1e-12)


def test_a_reference_clip_counts_once_and_by_its_closest_face(studio):
    video = studio.clip("video", *[GREEN] * 3)
    reference, photo = studio.clip("reference", RED, RED, RED, GREEN), studio.photo("photo", RED)
    details = studio.score(video, reference, photo).details
    assert details["reference_faces"] == {reference: 4, photo: 1}
    assert details["per_reference"] == pytest.approx({reference: 1, photo: 1 / 2}, abs=LOSS)


def test_closest_is_by_reference():
    faces = np.array([(1.0, 0.0), (0.0, 1.0)])
    known = [np.array([(1.0, 0.0), (0.6, 0.8)]), np.array([(0.0, 1.0)])]
    assert closest(faces, known) == pytest.approx(np.array([(1, 0), (0.8, 1)]))


def test_references_without_a_face_are_named_and_left_out(studio):
    video = studio.clip("video", *[RED] * 2)
    group = [studio.photo("back", None), studio.photo("face", RED)]
    scores = studio.score(video, *group)
    assert scores.details["references_without_face"] == ["back.png"]
    assert scores.values == pytest.approx(studio.score(video, "face.png").values, abs=1e-12)
    with pytest.raises(
        MetricError, match="none of the 1 references of ann shows a face to colours"
    ) as caught:
        studio.score(video, "back.png")
    assert "\n" not in str(caught.value)


def test_a_score_above_what_the_references_reach_is_called_a_copy(studio):
    """Red and orange score (1 + NEAR) / 2 against each other; red itself scores more, green less."""
    group = [studio.photo("a", RED), studio.photo("b", ORANGE)]
    copied, other = (studio.score(studio.clip(f"{c[0]}-{c[1]}", c, c), *group).details for c in (RED, GREEN))
    assert copied["ceiling"] == other["ceiling"] == pytest.approx((1 + NEAR) / 2, abs=LOSS)
    assert (copied["copy_paste"], other["copy_paste"]) == (True, False)
    alone = studio.score(studio.clip("alone", RED, RED), "a.png").details
    assert (alone["ceiling"], alone["copy_paste"]) == (None, False)


def test_a_copy_is_noticed_though_it_is_seen_only_now_and_then(studio):
    group = [studio.photo("a", RED), studio.photo("b", ORANGE)]
    scores = studio.score(studio.clip("video", RED, None, None, None), *group)
    assert scores.values["holi_sface"] < scores.details["ceiling"] < scores.details["similarity_when_seen"]
    assert scores.details["copy_paste"]


def test_references_are_looked_at_once(studio):
    video, reference = studio.clip("video", *[RED] * 3), studio.photo("reference", RED)
    first = studio.score(video, reference)
    looks = studio.metric.detector.looks
    assert studio.score(video, reference) == first
    assert (looks, studio.metric.detector.looks) == (4, 7)


def test_frames_are_spread_with_first_and_last_among_them(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, moving(12), 8)
    greys = grey_of(read_clip(path).frames)
    assert spread_frames(path, 3)[0] == [0, 6, 11]
    assert grey_of(spread_frames(path, 99)[1]) == greys
    assert grey_of(spread_frames(path, 3)[1]) == [greys[0], greys[6], greys[11]]


def test_a_file_that_cannot_be_read_is_named(studio):
    (studio.folder / "broken.mp4").write_bytes(b"no video")
    reference = studio.photo("reference", RED)
    for name in ("broken.mp4", "missing.mp4"):
        with pytest.raises(ValueError, match=f"^{name} cannot be read: ") as caught:
            studio.score(name, reference)
        assert "\n" not in str(caught.value)


def test_facts_name_what_a_figure_rests_on(studio):
    facts = studio.metric.facts
    assert (facts.columns, facts.weights_sha256, facts.licence) == (("holi_sface",), "c0ffee", "CC0-1.0")
    assert facts.frames.startswith("16 at most, evenly spread") and "counts 0" in facts.missing
    assert facts.settings["detector"]["name"] == "colours"
    others = [
        replace(studio.metric, settings=settings).facts.sha256
        for settings in (FaceSettings(frames=8), FaceSettings(scale="clip"), FaceSettings())
    ]
    assert [other == facts.sha256 for other in others] == [False, False, True]


def test_settings_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="frames is 0; it must be at least 1"):
        FaceSettings(frames=0)
    with pytest.raises(ValueError, match="scale is 'whole'; it must be half or clip"):
        FaceSettings(scale="whole")
    with pytest.raises(ValueError, match="has an unknown field 'frame'; known are frames, scale, detector"):
        FaceSettings.from_json({"frame": 3})
