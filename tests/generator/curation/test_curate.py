"""Records of files made by code: frames, shots, copies; and of the real ones where they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo, Human
from generator.curation.curate import annotate_media
from generator.curation.detection.loading import load_detectors
from generator.curation.detection.protocols import Detectors, FoundFace
from generator.curation.duplicates import distance, find_duplicates, fingerprint
from generator.curation.filters import Thresholds, judge, measure
from generator.curation.settings import CurationSettings
from generator.curation.sharpness import sharpness
from generator.media.encoder import write_clip
from generator.media.formats import MediaError
from generator.media.normalise import normalise
from generator.media.video import read_clip
from tests.generator.media.media_files import MediaMaker, moving

pytestmark = pytest.mark.slow

REALDATA = Path(__file__).parents[4] / "shared" / "realdata"
COPY = Thresholds().max_copy_distance


class RedSquares:
    """A detector whose truth is known: the red square of the made pictures is a face."""

    info = DetectorInfo("red", "1", {})

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        self.sizes.append(picture.shape[1::-1])
        is_red = (picture[:, :, 0] > 150) & (picture[:, :, 1] < 100)
        left, top, width, height = cv2.boundingRect(is_red.astype(np.uint8))
        return [FoundFace(Box(left, top, width, height), 0.5, ((left, top),) * 5, 1.0, None, 2.0)]


class Whole:
    info = DetectorInfo("whole", "1", {})

    def find(self, picture: NDArray[np.uint8], faces: Sequence[FoundFace]) -> list[Human]:
        return [Human(Box(0, 0, picture.shape[1], picture.shape[0]), is_estimated=False, confidence=None)]


@pytest.fixture
def detectors() -> Detectors:
    return Detectors(RedSquares(), Whole())


def noise(seed: int, count: int = 12, size: tuple[int, int] = (96, 64)) -> NDArray[np.uint8]:
    """A soft picture that slides, so that every seed is another scene."""
    width, height = size
    rng = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(rng.integers(0, 256, (height, width * 2, 3), np.uint8), (0, 0), 6)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    return np.stack([scene[:, index : index + width] for index in range(count)]).astype(np.uint8)


def test_a_clip_is_looked_at_evenly_and_boxes_are_in_its_own_pixels(
    make: MediaMaker, detectors: Detectors
) -> None:
    write_clip(make.folder / "large.mp4", moving(13, 256, 192), 8)
    record = annotate_media(make.folder / "large.mp4", detectors, CurationSettings(4, 128))
    assert (record.width, record.height, record.num_frames, record.fps) == (256, 192, 13, 8)
    assert (record.stride, [frame.index for frame in record.frames]) == (4, [0, 4, 8, 12])
    assert isinstance(detectors.faces, RedSquares)
    assert set(detectors.faces.sizes) == {(128, 96)}
    for frame in record.frames:
        (face,), (human,) = frame.faces, frame.humans
        assert (face.box.width, face.box.height) == pytest.approx((256 // 3, 192 // 3), abs=4)
        assert (face.yaw, face.pitch, face.roll, face.confidence) == (1.0, None, 2.0, 0.5)
        assert human.box == Box(0, 0, 256, 192)


def test_a_photo_is_one_frame(make: MediaMaker, detectors: Detectors) -> None:
    record = annotate_media(make.photo(), detectors)
    assert (record.num_frames, record.fps, record.shots, record.stride) == (1, 0, ((0, 1),), 1)
    assert len(record.frames) == 1


def test_what_cannot_be_read_says_so(make: MediaMaker, detectors: Detectors) -> None:
    for path in (make.bytes("empty.mp4", b""), make.audio_only(), make.bytes("page.png", b"<html>")):
        for read in (lambda path: annotate_media(path, detectors), fingerprint):
            with pytest.raises(MediaError):
                read(path)


@pytest.mark.parametrize("lengths", [(40,), (20, 25), (20, 30, 18)])
def test_cuts_are_found_where_they_are(
    make: MediaMaker, detectors: Detectors, lengths: Sequence[int]
) -> None:
    shots = [noise(seed, count) for seed, count in enumerate(lengths)]
    write_clip(make.folder / "cut.mp4", np.concatenate(shots), 25)
    edges = [0, *np.cumsum(lengths).tolist()]
    record = annotate_media(make.folder / "cut.mp4", detectors)
    assert record.shots == tuple(zip(edges[:-1], edges[1:], strict=True))


def test_sharpness_falls_with_blur_and_hardly_changes_with_size() -> None:
    picture = noise(0, 1, (300, 300))[0]
    values = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma), Box(0, 0, 300, 300)) for sigma in (1, 4, 9)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[2]
    larger = cv2.resize(picture, (600, 600), interpolation=cv2.INTER_CUBIC)
    assert sharpness(larger, Box(0, 0, 600, 600)) == pytest.approx(
        sharpness(picture, Box(0, 0, 300, 300)), rel=0.3
    )
    assert sharpness(np.full((20, 20, 3), 9, np.uint8), Box(-5, 15, 50, 50)) == 0


def test_copies_are_found_and_others_are_not(make: MediaMaker) -> None:
    scenes = [noise(seed, 20, (192, 128)) for seed in range(3)]
    for number, frames in enumerate(scenes):
        write_clip(make.folder / f"{number}.mp4", frames, 10)
    normalise(make.folder / "1.mp4", make.folder / "small.mp4", max_side=96)
    make.encoded("other.webm", frames=scenes[2], codec="libvpx-vp9", codec_options={"b": "60k"})
    names = ["0.mp4", "1.mp4", "2.mp4", "small.mp4", "other.webm"]
    prints = [fingerprint(make.folder / name) for name in names]
    assert find_duplicates(prints, COPY) == {3: 1, 4: 2}


def test_a_copy_of_a_copy_names_the_original() -> None:
    prints = [("0" * 64,), ("0" * 63 + "1",), ("0" * 63 + "3",), ("f" * 64,), ("0" * 64,) * 8]
    assert find_duplicates(prints, 0.01) == {1: 0, 2: 0}
    assert distance(prints[0], prints[3]) == 1
    assert distance(prints[0], prints[4]) == 1


@pytest.mark.skipif(not REALDATA.is_dir(), reason="no real data beside the repository")
def test_clips_of_one_signer_are_no_copies_but_their_copies_are(make: MediaMaker) -> None:
    clips = sorted((REALDATA / "people" / "signer_a").glob("*.mp4"))[-3:]
    prints = [fingerprint(path) for path in clips]
    assert min(distance(*pair) for pair in combinations(prints, 2)) > 1.5 * COPY
    frames = read_clip(clips[0])
    write_clip(make.folder / "again.mp4", frames.frames, frames.fps)
    normalise(clips[0], make.folder / "small.mp4", max_side=320)
    for name in ("again.mp4", "small.mp4"):
        assert distance(prints[0], fingerprint(make.folder / name)) < COPY / 1.5


@pytest.mark.skipif(not REALDATA.is_dir(), reason="no real data beside the repository")
@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("people/anne/anne.jpg", []),
        ("people/signer_c/learn.mp4", []),
        ("people/obama/obama_partial_face.jpg", ["no_face"]),
        ("traps/animal/s36.jpg", ["no_face"]),
        ("traps/classroom/classroom.from-gif.mp4", ["multi_face"]),
        ("traps/two_people/obama_and_biden.jpg", ["multi_face"]),
    ],
)
def test_real_files_are_judged_by_what_they_show(name: str, reasons: list[str]) -> None:
    record = annotate_media(REALDATA / name, load_detectors(), CurationSettings(max_frames=12))
    assert list(judge(measure(record), Thresholds()))[:1] == reasons
