"""The rubric against a real HTTP server that is wrong, busy or gone, and a planted model that wavers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.prompts.asking import Patience, Question, Reply
from generator.records import ReferenceKind
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.metrics.rubric import COLUMNS, Rubric, describe, make
from rlhf.evaluation.records import EvaluationInstance, MetricError
from tests.generator.prompts.openai_server import KEY, Script, openai_server

ASKED = EvaluationInstance(
    "i", "The hairstyle changes.", (("primary.png", ReferenceKind.PHOTO),), ("primary.png",)
)


@pytest.fixture
def served() -> Iterator[tuple[str, Script]]:
    with openai_server() as server:
        yield server


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Of grey 160, which the server scores 4 of 5."""
    write_photo(tmp_path / "primary.png", np.full((32, 32, 3), 40, np.uint8))
    write_clip(tmp_path / "i-1.mp4", np.full((9, 32, 32, 3), 160, np.uint8), 8)
    return tmp_path / "i-1.mp4"


def rubric(folder: Path, url: str, repeats: int = 2, **model: object) -> tuple[Rubric, list[float]]:
    """Over the server; the waits that would have passed are in the list."""
    (folder / "key").write_text(KEY)
    spec = {"backend": "server", "base_url": url, "model": "sees", "api_key_file": "key", **model}
    made, waits = make(MetricOptions(folder, settings={"model": spec, "repeats": repeats})), []
    made.wait = waits.append
    return made, waits


def test_every_repeat_sees_the_primary_and_the_video_and_reads_the_prompt(video: Path, served) -> None:
    url, script = served
    metric, _ = rubric(video.parent, url, repeats=3)
    scores = metric.score(video, ASKED, video.parent.joinpath)
    assert scores.values == dict.fromkeys(COLUMNS, (160 // 40 - 1) / 4) and not scores.holes
    assert scores.details["scores"] == dict.fromkeys(COLUMNS, [4, 4, 4])
    assert script.answered == {"rubric 160": 3} and script.keys == {f"Bearer {KEY}"}
    parts = script.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in parts].count("image_url") == 1 + 8
    words = " ".join(part.get("text", "") for part in parts)
    assert words.index("the primary reference:") < words.index("the video:") and ASKED.prompt in words
    transcript = scores.details["transcript"]
    assert [entry["question_id"] for entry in transcript] == [f"rubric:i-1:{n}" for n in range(3)]
    assert KEY not in json.dumps(scores.details)


def test_wrong_replies_are_asked_for_again_until_patience_ends(video: Path, served) -> None:
    url, script = served
    metric, waits = rubric(video.parent, url)
    script.first["rubric"] = ["prose", "omitted", "wrong_value", "invented", "http_429+3"]
    assert metric.score(video, ASKED, video.parent.joinpath).values == dict.fromkeys(COLUMNS, 0.75)
    assert len(waits) == 1 and waits[0] >= 3
    script.first["rubric"] = ["prose"] * metric.patience.attempts
    hole = metric.score(video, ASKED, video.parent.joinpath)
    assert not hole.values and set(hole.holes) == set(COLUMNS)
    assert "no answer in 6 attempts; a wrong reply: the reply is not JSON" in hole.holes["app"]
    assert len(hole.details["transcript"]) == 6
    # The model still answers, so the next video has a value.
    assert metric.score(video, ASKED, video.parent.joinpath).values


@pytest.mark.parametrize(
    ("fault", "says"), [("http_401", "HTTP 401"), (None, "sees: no answer in 2 attempts")]
)
def test_who_is_not_there_is_not_asked_about_the_next_video(video: Path, served, fault, says) -> None:
    url, script = served
    if fault:
        script.always["rubric 160"] = fault
    else:
        url = "http://127.0.0.1:9/v1"
    metric, waits = rubric(video.parent, url)
    metric.patience = Patience(attempts=2)
    with pytest.raises(MetricError, match=says) as first:
        metric.score(video, ASKED, video.parent.joinpath)
    before, asked = list(waits), script.asked["rubric 160"]
    with pytest.raises(MetricError) as second:
        metric.score(video, ASKED, video.parent.joinpath)
    assert str(first.value) == str(second.value) and "\n" not in str(second.value)
    assert waits == before and script.asked["rubric 160"] == asked


class Wavering:
    """Gives the planted scores one reply after the other."""

    name = "wavering"

    def __init__(self, *scores: tuple[int, int, int]) -> None:
        self.scores = list(scores)

    def reply(self, question: Question) -> Reply:
        given = zip(COLUMNS, self.scores.pop(0), strict=True)
        return Reply(json.dumps({column: {"reason": "so", "score": score} for column, score in given}))


def test_repeats_are_averaged_and_their_spread_is_kept(video: Path) -> None:
    facts = describe({"model": "wavering"}, "", "", 4)
    metric = Rubric(facts, Wavering((1, 5, 2), (5, 5, 3), (5, 5, 2), (3, 5, 3)), 4)
    scores = metric.score(video, ASKED, video.parent.joinpath)
    assert scores.values == {"app": (0 + 1 + 1 + 0.5) / 4, "mot": 1.0, "bg": (0.25 + 0.5) / 2}
    assert scores.details["spread"] == {"app": 1.0, "mot": 0.0, "bg": 0.25}


def test_facts_tell_models_and_options_apart_and_not_addresses(tmp_path: Path) -> None:
    def sha256(repeats: int = 2, **changes: object) -> str:
        return rubric(tmp_path, "http://127.0.0.1:9/v1", repeats, **changes)[0].facts.sha256

    assert sha256() == sha256(timeout_s=7) == sha256(base_url="http://elsewhere/v1")
    others = {sha256(repeats=3), sha256(model="b"), sha256(options={"temperature": 0.0})}
    assert len(others | {sha256()}) == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "has no model; its settings are model and repeats"),
        ({"model": {}, "repeats": 0}, "repeats is 0; it must be at least 1"),
        ({"model": {"backend": "portraits"}}, "backend is 'portraits'; it must be server or local"),
        ({"model": {"backend": "server", "model": "a"}}, "has no base_url"),
        ({"model": {"backend": "server", "model": "a", "base_url": "x"}}, "base_url is 'x'; it must be like"),
        (
            {"model": {"backend": "local", "model": "qwen"}},
            "qwen needs weights and no folder of models is set",
        ),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        make(MetricOptions(settings=settings))
    assert "\n" not in str(refused.value)
