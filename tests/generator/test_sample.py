"""The sampling command: complete, resumable, and one bad reference harms only its own samples."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.media.encoder import write_clip  # noqa: E402
from generator.media.photo import write_photo  # noqa: E402
from generator.media.video import read_clip  # noqa: E402
from generator.portraits.tiny import build_tiny_pipeline  # noqa: E402
from generator.records import ReferenceKind, SampleRequest, SamplerSettings  # noqa: E402
from generator.rundir import RunDir, RunError  # noqa: E402
from generator.sample import main, make_videos, read_reference  # noqa: E402

SETTINGS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "fps": 8,
    "num_inference_steps": 2,
    "guidance_scale": 5.0,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build_tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def media(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    write_clip(tmp_path / "clip.mp4", frames, 8)
    write_photo(tmp_path / "photo.png", frames[0])
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    return tmp_path


def sample(name: str, seed: int, *references: tuple[str, str], prompt: str = "a beach") -> dict:
    shown = [{"path": path, "kind": kind} for path, kind in references]
    return {"sample_id": name, "seed": seed, "prompt": prompt, "references": shown}


GOOD = (("../clip.mp4", "clip"), ("../photo.png", "photo"))
PAIR = [sample("1", 11, *GOOD), sample("2", 12, *GOOD)]


def open_run(media, base, samples: list[dict], name: str = "run") -> RunDir:
    run = RunDir(media / name)
    run.create(
        {
            "stage": "sample",
            "model": {"base": str(base), "adapters": []},
            "settings": SETTINGS,
            "samples": samples,
        }
    )
    return run


def test_it_makes_every_video_and_says_what_it_made(media, base) -> None:
    run = open_run(media, base, [*PAIR, sample("3", 11, GOOD[1], prompt="sad")])
    main(run, False)
    result = run.read_result()
    assert result["failed"] == []
    assert [item["sample_id"] for item in result["samples"]] == ["1", "2", "3"]
    for item in result["samples"]:
        path = run.resolve(item["path"])
        assert read_clip(path).frames.shape == (5, 32, 32, 3)
        assert (item["width"], item["height"], item["num_frames"], item["fps"]) == (32, 32, 5, 8)
        assert item["size_bytes"] == path.stat().st_size
        assert len(item["sha256"]) == 64
    lines = run.read_metrics()
    assert [(line["sample_id"], line["done"], line["total"]) for line in lines] == [
        ("1", 1, 3),
        ("2", 2, 3),
        ("3", 3, 3),
    ]


def test_it_makes_the_same_bytes_again(media, base) -> None:
    hashes = []
    for name in ("one", "two"):
        run = open_run(media, base, PAIR, name)
        main(run, False)
        hashes.append([item["sha256"] for item in run.read_result()["samples"]])
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[0][1]


def test_it_resumes_with_what_is_missing_and_ends_the_same(media, base) -> None:
    """One video is lost, one is torn: both are made again, byte for byte; the third is not touched."""
    samples = [*PAIR, sample("3", 13, *GOOD)]
    run = open_run(media, base, samples)
    main(run, False)
    expected = run.read_result()
    os.remove(run.path / "result.json")
    os.remove(run.path / "samples" / "1.mp4")
    kept = run.path / "samples" / "2.mp4"
    torn = run.path / "samples" / "3.mp4"
    torn.write_bytes(torn.read_bytes()[:300])
    before = kept.stat().st_mtime_ns
    main(run, False)
    assert run.read_result() == expected
    assert kept.stat().st_mtime_ns == before
    assert [line["done"] for line in run.read_metrics()] == [1, 2, 3]


def test_it_lists_what_it_could_not_read_and_goes_on(media, base) -> None:
    bad, gone = ("../broken.mp4", "clip"), ("../gone.png", "photo")
    run = open_run(media, base, [sample("a", 1, bad), sample("b", 1, *GOOD), sample("c", 1, GOOD[0], gone)])
    main(run, False)
    result = run.read_result()
    assert [item["sample_id"] for item in result["samples"]] == ["b"]
    assert [item["sample_id"] for item in result["failed"]] == ["a", "c"]
    assert all(item["error"] and "\n" not in item["error"] for item in result["failed"])
    assert "gone.png" in result["failed"][1]["error"]


def test_it_does_nothing_when_done_and_needs_no_model(media, base) -> None:
    run = open_run(media, base, PAIR)
    main(run, False)
    before = run.read_result()
    main(run, False)
    assert run.read_result() == before

    def load():
        raise AssertionError("every video is there already")

    requests = [SampleRequest.from_json(item) for item in PAIR]
    made, failed = make_videos(load, requests, SamplerSettings(**SETTINGS), run.path / "samples")
    assert [facts["sha256"] for facts in made] == [item["sha256"] for item in before["samples"]]
    assert failed == []


def test_it_shows_references_at_the_rate_and_length_of_the_video(media) -> None:
    """20 frames at 24 per second, for 5 at 8 per second: every third frame."""
    frames = (
        np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None, None], 32, 1)
        .repeat(32, 2)
        .repeat(3, 3)
    )
    write_clip(media / "fast.mp4", frames, 24)
    settings = SamplerSettings(**SETTINGS)
    shown = read_reference(media / "fast.mp4", ReferenceKind.CLIP, settings)
    assert shown.shape == (5, 32, 32, 3)
    np.testing.assert_allclose(shown.mean(axis=(1, 2, 3)), [0, 30, 60, 90, 120], atol=4)
    assert read_reference(media / "fast.mp4", ReferenceKind.HALF_BODY, settings).shape == (1, 32, 32, 3)
    assert read_reference(media / "photo.png", ReferenceKind.CLIP, settings).shape == (1, 32, 32, 3)


def test_it_refuses_a_request_that_is_none(media, base) -> None:
    run = RunDir(media / "bad")
    run.create({"stage": "sample", "model": {"base": str(base)}, "settings": {"hight": 32}, "samples": []})
    with pytest.raises(RunError, match="is no request to sample"):
        main(run, False)
    run = open_run(media, base, [sample("../x", 1, *GOOD)], "escape")
    with pytest.raises(RunError, match="sample_id '../x' is no file name"):
        main(run, False)


@pytest.fixture
def one_thread():
    """The last bits of a sum depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_it_runs_as_a_command_and_survives_a_kill(media, base, one_thread) -> None:
    samples = [sample(str(number), number, *GOOD, prompt=f"number {number}") for number in range(4)]
    run = open_run(media, base, samples)
    command = [sys.executable, "-m", "generator.sample", str(run.path), "--threads", "1"]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not run.read_metrics() and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    main(run, False)
    undisturbed = open_run(media, base, samples, "undisturbed")
    main(undisturbed, False)
    for name in ("samples", "failed"):
        assert run.read_result()[name] == undisturbed.read_result()[name]
    assert json.loads((run.path / "request.json").read_text())["stage"] == "sample"


def test_it_fails_with_one_line(media) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "generator.sample", str(media / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "no request.json" in ended.stderr
