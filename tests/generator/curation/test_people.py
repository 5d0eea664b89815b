"""Tracks with a planted truth: people who stay, detectors that miss, and false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from generator.curation.annotation import Box, ClipAnnotation, DetectorInfo, Face, FrameAnnotation
from generator.curation.filters import Thresholds, judge, measure
from generator.curation.people import find_people

SUBJECT = Box(270, 90, 70, 70)


def face(box: Box, blur: float = 100.0, yaw: float | None = None) -> Face:
    return Face(box, None, None, yaw, None, None, blur)


def clip(faces: Sequence[Sequence[Face]], stride: int = 1, fps: float = 30.0) -> ClipAnnotation:
    frames = tuple(FrameAnnotation(index * stride, tuple(item), ()) for index, item in enumerate(faces))
    info = DetectorInfo("planted", "1", {})
    count = (len(faces) - 1) * stride + 1
    return ClipAnnotation("0" * 64, 640, 480, count, fps, ((0, count),), frames, stride, info, info)


def one_person(count: int = 40, others: Mapping[int, Box] | None = None) -> list[list[Face]]:
    """The subject in every frame, and other boxes in some."""
    others = others or {}
    return [[face(SUBJECT), *([face(others[index])] if index in others else [])] for index in range(count)]


def test_false_alarms_that_do_not_stay_are_nobody() -> None:
    for index in (5, 17, 30):
        jumping = {index: Box(100, 300, 60, 60), index + 1: Box(400, 20, 60, 60)}
        assert find_people(clip(one_person(others=jumping))).max_faces == 1


def test_a_second_person_for_a_part_of_the_clip_is_somebody() -> None:
    visitor = {index: Box(500 + index, 80, 68, 68) for index in range(12, 22)}
    people = find_people(clip(one_person(others=visitor)))
    assert people.max_faces == 2
    assert {item.box for item in people.subject} == {SUBJECT}


def test_people_are_counted_where_most_show_at_once() -> None:
    """One person after another is one at a time; three people in a sixth of the clip are three."""
    left, right = face(Box(50, 90, 70, 70)), face(Box(450, 90, 70, 70))
    assert find_people(clip([[left]] * 20 + [[right]] * 20)).max_faces == 1
    assert find_people(clip([[face(SUBJECT)]] * 33 + [[left, face(SUBJECT), right]] * 7)).max_faces == 3


def test_a_detector_that_misses_half_of_the_frames_still_sees_one_person() -> None:
    """As the same face moves and grows, never both in a frame."""
    faces = [
        [face(Box(100 + 5 * index, 90, 70 + index, 70 + index))] if index % 2 else [] for index in range(40)
    ]
    people = find_people(clip(faces))
    assert (people.max_faces, people.face_share, len(people.tracks)) == (1, 0.5, 1)


def test_a_small_face_on_the_chest_is_worn_but_one_beside_is_not() -> None:
    on_chest, beside = Box(300, 220, 20, 20), Box(430, 220, 20, 20)
    everywhere = dict.fromkeys(range(40), on_chest)
    assert find_people(clip(one_person(others=everywhere))).max_faces == 1
    assert find_people(clip(one_person(others=dict.fromkeys(range(40), beside)))).max_faces == 2
    # A face of like size there is somebody in front.
    assert (
        find_people(clip(one_person(others=dict.fromkeys(range(40), Box(290, 230, 60, 60))))).max_faces == 2
    )


def test_frames_far_apart_are_followed_too() -> None:
    people = find_people(clip(one_person(), stride=60))
    assert (len(people.tracks), people.max_faces) == (1, 1)


def test_a_photo_needs_no_support() -> None:
    photo = clip([[face(SUBJECT), face(Box(20, 90, 70, 70))]], fps=0.0)
    assert find_people(photo).max_faces == 2
    empty = clip([[]], fps=0.0)
    assert (find_people(empty).max_faces, find_people(empty).subject) == (0, ())


def test_measures_are_of_the_subject() -> None:
    faces = [[face(SUBJECT, blur=float(index), yaw=float(index - 20))] for index in range(41)]
    measures = measure(clip(faces))
    assert (measures.face_px, measures.blur) == (70, 20)
    assert measures.yaw_max == 18  # |yaw| takes 0 once and 1 to 20 twice: nine tenths of 41 lie within 18
    assert measures.pitch_max is None
    assert judge(measures, Thresholds()) == ()
