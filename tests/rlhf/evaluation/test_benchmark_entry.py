"""Videos of other models: everything that is missing or wrong is named, and the rest is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generator.media.encoder import write_clip
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.benchmark.commands import main
from rlhf.evaluation.benchmark.entry import EntryFacts, read_entry
from rlhf.evaluation.benchmark.names import enter_videos
from rlhf.evaluation.benchmark.plan import MakePlan
from rlhf.evaluation.benchmark.portraits import make_portraits
from rlhf.evaluation.benchmark.set import Benchmark

FACTS = EntryFacts("ConsisID", "Apache-2.0", "somewhere")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    plan = MakePlan(num_identities=1, num_ipt2v=3, num_iept2v=1, seeds=(0, 4))
    return make_portraits(tmp_path_factory.mktemp("sets") / "portraits", plan)


def write_video(path: Path, num_frames: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, np.full((num_frames, 32, 32, 3), len(path.stem), np.uint8), 8)


def test_what_is_there_and_what_is_not(portraits: Benchmark, tmp_path: Path) -> None:
    write_video(tmp_path / "ipt2v-001-0.mp4")
    write_video(tmp_path / "ipt2v-001.mp4")
    write_video(tmp_path / "ipt2v-001-4.mp4")
    write_video(tmp_path / "ipt2v-002-0.mp4")
    write_video(tmp_path / "ipt2v-003-0.mp4", 9)
    (tmp_path / "ipt2v-003-4.mp4").write_bytes(b"no video")
    whole = (tmp_path / "ipt2v-001-4.mp4").read_bytes()
    (tmp_path / "iept2v-001-4.mp4").write_bytes(whole[: len(whole) // 2])
    write_video(tmp_path / "ipt2v-009-0.mp4")
    FACTS.write(tmp_path)
    entry = read_entry(tmp_path, portraits)
    names = {key: path.name for key, path in entry.videos.items()}
    assert names == {
        ("ipt2v-001", 0): "ipt2v-001-0.mp4",
        ("ipt2v-001", 4): "ipt2v-001-4.mp4",
        ("ipt2v-002", 0): "ipt2v-002-0.mp4",
    }
    assert entry.holes.pop(("ipt2v-003", 0)) == "ipt2v-003-0.mp4 has 9 frames; 5 are expected"
    assert entry.holes.pop(("ipt2v-003", 4)).startswith("ipt2v-003-4.mp4 cannot be read: ")
    assert entry.holes.pop(("iept2v-001", 4)).startswith("iept2v-001-4.mp4 cannot be read: ")
    assert entry.holes == {
        ("ipt2v-002", 4): "there is no ipt2v-002-4.mp4",
        ("iept2v-001", 0): "there is no iept2v-001-0.mp4",
    }
    assert entry.strangers == ("ipt2v-001.mp4", "ipt2v-009-0.mp4")
    assert entry.facts == FACTS


def test_the_stated_length_is_expected(portraits: Benchmark, tmp_path: Path) -> None:
    for seed in (0, 4):
        write_video(tmp_path / f"ipt2v-001-{seed}.mp4", 5 + seed)
    for length, wrong in ((5, 4), (9, 0)):
        EntryFacts("x", settings={"num_frames": length}).write(tmp_path)
        entry = read_entry(tmp_path, portraits)
        assert list(entry.videos) == [("ipt2v-001", 4 - wrong)]
        assert f"{length} are expected" in entry.holes["ipt2v-001", wrong]


def test_where_there_is_one_seed_names_need_none(portraits: Benchmark, tmp_path: Path) -> None:
    FACTS.write(tmp_path)
    for name in ("ipt2v-001", "ipt2v-002-0", "ipt2v-002"):
        write_video(tmp_path / f"{name}.mp4")
    entry = read_entry(tmp_path, replace(portraits, seeds=(0,)))
    assert [path.name for path in entry.videos.values()] == ["ipt2v-001.mp4", "ipt2v-002-0.mp4"]
    assert len(entry.holes) == 2 and entry.strangers == ("ipt2v-002.mp4",)


def test_an_empty_entry_is_all_holes(portraits: Benchmark, tmp_path: Path) -> None:
    FACTS.write(tmp_path)
    entry = read_entry(tmp_path, portraits)
    assert len(entry.holes) == 8 and not entry.videos and not entry.strangers


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"has no entry\.json; write one such as"),
        ([], "is no description of an entry"),
        ({"licence": "MIT"}, "has no model"),
        ({"model": ""}, "model is ''; it must be a text that is not empty"),
        ({"model": "x", "references_used": "two"}, "references_used is 'two'; it must be primary or all"),
        ({"model": "x", "settings": {"num_frames": "49"}}, "num_frames is '49'"),
        ({"model": "x", "set": {"name": "y"}}, "it must have name and sha256"),
        ({"model": "x", "set": {"name": "y", "sha256": "0" * 64}}, "y .* are different sets"),
    ],
)
def test_an_entry_without_facts_is_refused(
    portraits: Benchmark, tmp_path: Path, content: object, says: str
) -> None:
    if content is not None:
        (tmp_path / "entry.json").write_text(json.dumps(content))
    with pytest.raises(BenchmarkError, match=says):
        read_entry(tmp_path, portraits)


def test_videos_named_by_number(portraits: Benchmark, tmp_path: Path) -> None:
    for name in ("1", "prompt_002-1", "prompt-2-0", "5", "4-2", "01", "v2_prompt_3", "notes"):
        write_video(tmp_path / "videos" / f"{name}.mp4")
    brought = enter_videos(tmp_path / "entry", portraits, tmp_path / "videos", "index", FACTS, first=1)
    assert brought.taken == {
        ("ipt2v-001", 0): "01.mp4",
        ("ipt2v-002", 0): "prompt-2-0.mp4",
        ("ipt2v-002", 4): "prompt_002-1.mp4",
    }
    assert brought.left_out == {
        "1.mp4": "01.mp4 is taken for the same instance and seed",
        "4-2.mp4": "the set asks for 2 videos of an instance, and this is number 2, from 0",
        "5.mp4": "the set has no prompt 5; they go from 1 to 4",
        "notes.mp4": "its name has no number of a prompt",
        "v2_prompt_3.mp4": "its name has no number of a prompt",
    }
    entry = read_entry(tmp_path / "entry", portraits)
    assert list(entry.videos) == list(brought.taken) and entry.strangers == ()


def test_videos_named_by_words(portraits: Benchmark, tmp_path: Path) -> None:
    first, second, third, fourth = portraits.instances
    names = {
        first.prompt.replace(" ", "_"): (first.instance_id, 0),
        f"{second.prompt}-1": (second.instance_id, 4),
        third.standard_prompt.upper()[:60]: (third.instance_id, 0),
        f"{fourth.prompt[:-1]} 0": (fourth.instance_id, 0),
    }
    assert len({instance.prompt for instance in portraits.instances}) == 4
    for name in (*names, "The", "nothing of this"):
        write_video(tmp_path / "videos" / f"{name}.mp4")
    brought = enter_videos(tmp_path / "entry", portraits, tmp_path / "videos", "prompt", FACTS)
    assert brought.taken == {key: f"{name}.mp4" for name, key in names.items()}
    assert brought.left_out["nothing of this.mp4"] == "0 prompts of the set begin like this"
    assert "prompts of the set begin like this" in brought.left_out["The.mp4"]


def test_the_command(portraits: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        write_video(tmp_path / "videos" / f"{number}.mp4")
    places = [str(tmp_path / "entry"), str(portraits.folder), str(tmp_path / "videos")]
    facts = ["--name-by", "index", "--model", "Phantom", "--references-used", "all"]
    assert main(["enter", *places, *facts]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["taken"], said["entry"]["videos"], len(said["entry"]["holes"])) == (4, 4, 4)
    content = json.loads((tmp_path / "entry" / "entry.json").read_text())
    assert content["set"] == portraits.identity and content["references_used"] == "all"
    assert main(["check", str(portraits.folder), "--entry", str(tmp_path / "entry")]) == 0
    assert json.loads(capsys.readouterr().out)["entry"] == said["entry"]
    assert main(["enter", *places[:2], str(tmp_path), *facts]) == 1
    assert "has no .mp4 file" in capsys.readouterr().err
