"""What the eye gets: two clips on one clock, loops, zoom, and what is held side by side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from django.conf import settings

from annotate.judging.slots import open_slots
from annotate.models import User, VideoPair, VideoSample
from generator.files import file_sha256
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from tests.browser.judging_page import JudgingPage
from tests.factories import make_instance, make_pair, make_round

Judge = Callable[..., JudgingPage]


def make_long_pair(num_frames: int = 60, fps: int = 24) -> VideoPair:
    """Two clips of 60 frames, in which a block moves by one pixel a frame."""
    round = make_round()
    instance = make_instance()
    samples = []
    for seed in range(2):
        path = settings.STORAGE_ROOT / "test" / f"long-{seed}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.full((num_frames, 64, 64, 3), 40 + 60 * seed, np.uint8)
        for index, frame in enumerate(frames):
            frame[20:40, index : index + 4] = (250, 120, 20)
        write_photo(path.with_suffix(".png"), frames[0])
        write_clip(path, frames, fps)
        samples.append(
            VideoSample.objects.create(
                instance=instance,
                model_version=round.policy,
                seed=seed,
                settings=round.sampler | {"num_frames": num_frames, "fps": fps},
                settings_digest="long",
                path=str(path.relative_to(settings.STORAGE_ROOT)),
                sha256=file_sha256(path),
            )
        )
    pair = VideoPair.objects.create(round=round, instance=instance, first=samples[0], second=samples[1])
    open_slots([pair])
    return pair


@pytest.mark.realtime
def test_both_videos_stay_within_a_frame_for_ten_seconds(judge: Judge, ana: User) -> None:
    """240 frames at 24 per second of each side; drift is that of the frames which the browser presented."""
    make_long_pair()
    judging = judge(ana, "identity")
    measured = judging.page.evaluate(
        """() => new Promise((resolve) => {
            const { player } = view;
            let shown = 0;
            const saw = player.saw.bind(player);
            player.saw = (side, ...rest) => {
                saw(side, ...rest);
                if (side === "left" && ++shown === 240)
                    resolve({ ...player.evidence(), frames: player.drifts.length });
            };
        })"""
    )
    drift = [measured[name] for name in ("p95_drift_ms", "max_drift_ms")]
    print(f"drift over {measured['frames']} frames: p95 {drift[0]} ms, max {drift[1]} ms")
    assert measured["frames"] >= 120
    assert measured["p95_drift_ms"] < 1000 / 24


def test_it_steps_both_videos_by_whole_frames(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.press(",")
    judging.page.locator(".position").fill("0")
    judging.page.wait_for_timeout(100)
    shown = []
    for _ in range(9):
        judging.page.wait_for_function(
            "() => [...document.querySelectorAll('.stage video')].every((video) => !video.seeking)"
        )
        judging.page.wait_for_timeout(60)
        shown.append(judging.frames())
        judging.press(".")
    assert shown == [[frame, frame] for frame in range(9)]


def test_it_brings_the_right_video_back_into_step(judge: Judge, ana: User) -> None:
    """Right is presented 5, 30 and 300 ms early: left alone, slowed by 9 %, and put where left is."""
    make_pair()
    judging = judge(ana, "identity")
    corrected = judging.page.evaluate(
        """() => [0.005, 0.03, 0.3].map((drift) => {
            const [left, right] = [1, 1 + drift].map((currentTime) => ({ currentTime, playbackRate: 1 }));
            const player = new PairPlayer({ left, right }, { fps: 8, numFrames: 9, changed() {} });
            player.isPlaying = true;
            player.saw('left', 1, 1000);
            player.saw('right', 1 + 0.016 + drift, 1016);
            return [right.playbackRate, right.currentTime, player.evidence().max_drift_ms];
        })"""
    )
    assert corrected[0] == pytest.approx([1, 1.005, 5])
    assert corrected[1] == pytest.approx([0.91, 1.03, 30])
    assert corrected[2] == pytest.approx([1, 1, 300])


def test_it_loops_between_two_frames(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "identity")
    judging.show(2)
    judging.press("[")
    judging.show(4)
    judging.press("]")
    assert judging.page.evaluate("() => view.player.range") == {"from": 2, "to": 4}
    seen = judging.page.evaluate(
        """() => new Promise((resolve) => {
            const { player } = view;
            const seen = [];
            const saw = player.saw.bind(player);
            player.saw = (side, time, at) => {
                saw(side, time, at);
                if (side === "left") seen.push(Math.floor(time * 8 + 0.01));
                if (seen.filter((frame) => frame === 2).length === 3) resolve(seen);
            };
            player.play();
        })"""
    )
    # A slow browser leaves frames out and turns back late, but never from the end, and never to the start.
    assert not {0, 1, 8} & set(seen)
    turns = [following for frame, following in pairwise(seen) if following < frame]
    assert len(turns) >= 2 and set(turns) <= {2, 3, 4}
    judging.press("l")
    assert not judging.page.evaluate("() => view.player.isLooping")


def test_it_zooms_and_moves_all_videos_alike(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "controllability")
    fitted = judging.page.evaluate("() => view.zoom.fitted")
    judging.press("z", "Shift+ArrowLeft")
    places = judging.page.evaluate(
        "() => [...document.querySelectorAll('.view > *')].map((medium) => medium.style.transform)"
    )
    assert len(places) == 3 and len(set(places)) == 1
    level = judging.page.evaluate("() => view.zoom.level")
    assert f"scale({level / 100 / fitted:.3f}"[:-1] in places[0]
    assert level / 100 > fitted
    left = judging.page.locator("[data-cell=left] .view")
    box = left.bounding_box()
    assert box is not None
    before = judging.page.evaluate("() => view.zoom.x")
    judging.page.mouse.move(box["x"] + 100, box["y"] + 100)
    judging.page.mouse.down()
    judging.page.mouse.move(box["x"] + 60, box["y"] + 100)
    judging.page.mouse.up()
    moved = judging.page.evaluate("() => view.zoom.x") - before
    width = left.locator("video").evaluate("(video) => video.clientWidth")
    reach = (level / 100 / fitted - 1) / 2
    assert moved == pytest.approx(max(-reach, before - 40 / width) - before, abs=0.01)
    for _ in range(3):
        judging.press("z")
    assert judging.page.locator(".zoomed-to").inner_text() == "Fit"


def test_held_keys_show_one_thing_in_one_place(judge: Judge, ana: User) -> None:
    make_pair()
    judging = judge(ana, "controllability")

    def shown() -> list[str]:
        names: list[str] = judging.page.evaluate(
            """() => [...document.querySelectorAll('.cell')]
                .filter((cell) => getComputedStyle(cell).opacity === '1').map((cell) => cell.dataset.cell)"""
        )
        return names

    place = judging.page.locator("[data-cell=right]").bounding_box()
    judging.page.keyboard.down("w")
    assert shown() == ["right"]
    assert judging.page.evaluate("() => [...view.player.covered]") == ["left"]
    judging.page.keyboard.up("w")
    assert shown() == ["reference", "left", "right"]
    judging.show(5)
    judging.page.keyboard.down("v")
    assert shown() == ["reference", "left"]
    assert judging.page.locator("[data-cell=reference]").bounding_box() == place
    judging.page.wait_for_function(
        "() => Math.floor(document.querySelector('[data-cell=reference] video').currentTime * 8) === 5"
    )
    judging.page.keyboard.up("v")
    assert shown() == ["reference", "left", "right"]
