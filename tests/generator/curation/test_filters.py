from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest

from generator.curation.filters import (
    MeasureColumns,
    Measures,
    Thresholds,
    judge,
    percentiles,
    rank_blur,
    what_if,
)
from generator.media.formats import RejectReason

GOOD = Measures(60, 1, 60, 1, 1.0, 100.0, 200.0, 50.0, 10.0, 10.0, 10.0)
#: What fails one threshold alone, and the reason it must give.
BAD = {
    "min_frames": (replace(GOOD, longest_shot=8), RejectReason.TOO_SHORT),
    "max_faces": (replace(GOOD, max_faces=2), RejectReason.MULTI_FACE),
    "min_face_share": (replace(GOOD, face_share=0.29), RejectReason.NO_FACE),
    "min_face_px": (replace(GOOD, face_px=47.9), RejectReason.SMALL_FACE),
    "min_blur": (replace(GOOD, blur=9.9), RejectReason.BLURRED),
    "min_blur_percentile": (replace(GOOD, blur_percentile=4.0), RejectReason.BLURRED),
    "max_yaw": (replace(GOOD, yaw_max=61.0), RejectReason.EXTREME_POSE),
    "max_pitch": (replace(GOOD, pitch_max=46.0), RejectReason.EXTREME_POSE),
    "max_roll": (replace(GOOD, roll_max=46.0), RejectReason.EXTREME_POSE),
}
THRESHOLDS = Thresholds(min_blur_percentile=5.0)


@pytest.mark.parametrize("name", BAD)
def test_each_threshold_gives_its_reason(name: str) -> None:
    measures, reason = BAD[name]
    assert judge(GOOD, THRESHOLDS) == ()
    assert judge(measures, THRESHOLDS) == (reason,)


def test_every_threshold_is_tried() -> None:
    assert {item.name for item in fields(Thresholds)} == {*BAD, "max_copy_distance"}


def test_what_is_unknown_costs_nothing() -> None:
    unknown = replace(
        GOOD, face_px=None, blur=None, blur_percentile=None, yaw_max=None, pitch_max=None, roll_max=None
    )
    assert judge(unknown, THRESHOLDS) == ()


def test_a_photo_is_never_too_short_and_no_face_is_never_enough() -> None:
    assert judge(replace(GOOD, num_frames=1, longest_shot=1), THRESHOLDS) == ()
    nobody = replace(GOOD, max_faces=0, face_share=0.0)
    assert judge(nobody, Thresholds(min_face_share=0)) == (RejectReason.NO_FACE,)


def test_the_weightiest_reason_comes_first() -> None:
    crowd = replace(GOOD, max_faces=5, face_px=20.0, blur=1.0)
    assert judge(crowd, THRESHOLDS) == (
        RejectReason.MULTI_FACE,
        RejectReason.SMALL_FACE,
        RejectReason.BLURRED,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_face_share", 1.1), ("max_yaw", 181), ("min_blur", -1), ("min_face_px", float("nan"))],
)
def test_it_refuses_a_threshold_out_of_range_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be "):
        Thresholds(**{name: value})


def test_what_if_agrees_with_judging_again() -> None:
    """Every row against the slow way: apply the value and count."""
    collection = [
        replace(GOOD, face_px=size, blur=blur, max_faces=faces)
        for size, blur, faces in product((20.0, 50.0, 200.0), (5.0, 40.0), (1, 2))
    ]
    for row in what_if(MeasureColumns.of(collection), THRESHOLDS):
        applied = replace(THRESHOLDS, **{row.threshold: row.value})
        kept = [judge(item, applied) == () for item in collection]
        assert row.kept == sum(kept), row
        off = {"max_faces": 99, "max_yaw": 180, "max_pitch": 180, "max_roll": 180}.get(row.threshold, 0)
        without = [judge(item, replace(THRESHOLDS, **{row.threshold: off})) == () for item in collection]
        assert row.costs_alone == sum(without) - sum(kept), row
        assert row.costs >= row.costs_alone
        assert row.is_current == (row.value == getattr(THRESHOLDS, row.threshold))
    assert {row.threshold for row in what_if(MeasureColumns.of(collection), THRESHOLDS)} == set(BAD)


def test_percentiles_are_the_share_below() -> None:
    assert percentiles([3.0, 1.0, 2.0]) == [100, 0, 50]
    assert percentiles([1.0, 1.0, 1.0]) == [50, 50, 50]
    assert percentiles([7.0]) == [50]
    assert percentiles([]) == []


def test_blur_is_ranked_among_those_that_have_a_face() -> None:
    ranked = rank_blur([replace(GOOD, blur=blur, blur_percentile=None) for blur in (5.0, None, 50.0)])
    assert [item.blur_percentile for item in ranked] == [0, None, 100]
