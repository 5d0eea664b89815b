"""Every format is read back by the reader that it is written for, or by what that reader does."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest

from generator.frozen_set import FrozenSetError, MediaFile
from generator.records import ReferenceKind
from rlhf.export.formats import ExportFormat, main, write_format
from rlhf.export.freezing import read_export, write_export
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.export.rule import ExportRule
from rlhf.records import EXPRESSED, Track, Verdict

#: Of each pair's two tracks, the posterior of the verdict.
POSTERIORS = {3: (0.9, 0.8), 7: (0.75, 1.0), 21: (0.6, 0.5)}


def votes(posterior: float) -> TrackVotes:
    rest = (1 - posterior) / 3
    shares = {verdict: posterior if verdict == Verdict.FIRST else rest for verdict in EXPRESSED}
    return TrackVotes(Verdict.FIRST, shares, dict.fromkeys(Verdict, 0) | {Verdict.FIRST: 3})


@pytest.fixture
def planted(tmp_path):
    """A set of three pairs whose files say what they are."""
    folder = tmp_path / "source"
    folder.mkdir()

    def media(name: str) -> MediaFile:
        (folder / name).write_bytes(name.encode())
        return MediaFile(folder / name, hashlib.sha256(name.encode()).hexdigest())

    shared = ExportReference(media("photo.png"), ReferenceKind.PHOTO)
    rows = [
        ExportRow(
            pair_id=number,
            id_group=f"person {number % 2}",
            references=(shared, ExportReference(media(f"clip-{number}.mp4"), ReferenceKind.CLIP)),
            differential_prompt=f'She turns, "röd" jacket, {number}',
            elements=(),
            chosen=ExportSample(media(f"chosen-{number}.mp4"), number),
            rejected=ExportSample(media(f"rejected-{number}.mp4"), number + 1),
            tracks=dict(zip(Track, map(votes, posteriors), strict=True)),
            model_version="sft-1",
            licence="CC0-1.0",
        )
        for number, posteriors in POSTERIORS.items()
    ]
    write_export(tmp_path / "set", rows, joint_states={"dominant": 3})
    return tmp_path / "set"


def said(folder, path: str) -> str:
    """What the file at a path of a row says that it is."""
    return (folder / path).read_text()


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def loaded(folder, cache):
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("name", ExportFormat)
def test_a_format_is_whole_hashed_and_the_same_twice(planted, tmp_path, name):
    one = write_format(planted, tmp_path / "one", name)
    two = write_format(planted, tmp_path / "two", name, link=True)
    assert contents(one) == contents(two)
    assert {p.name for p in tmp_path.iterdir()} == {"source", "set", "one", "two"}
    description = json.loads((one / "format.json").read_text())
    export = read_export(planted)
    assert description["set"] == export.manifest.content_hash
    assert description["num_media"] == len(list((one / "media").iterdir())) == 1 + 3 * 3
    for path, sha256 in description["sha256"].items():
        assert hashlib.sha256((one / path).read_bytes()).hexdigest() == sha256
    clip = next((two / "media").glob("*.mp4"))
    assert clip.samefile(planted / "media" / clip.name)


def test_trl_reads_its_rows(planted, tmp_path):
    trl = pytest.importorskip("trl")
    folder = write_format(planted, tmp_path / "trl", ExportFormat.TRL)
    rows = loaded(folder, tmp_path / "cache")
    assert rows["prompt"][:] == [f'She turns, "röd" jacket, {number}' for number in POSTERIORS]
    for side in ("chosen", "rejected"):
        assert [said(folder, path) for path in rows[side]] == [
            f"{side}-{number}.mp4" for number in POSTERIORS
        ]
    assert [said(folder, paths[0]) for paths in rows["references"]] == ["photo.png"] * 3
    assert rows["weight"][:] == pytest.approx([a * b for a, b in POSTERIORS.values()])
    assert [track["identity"]["posterior"]["first"] for track in rows["tracks"]] == [0.9, 0.75, 0.6]
    # TRL's own preparation takes prompt and completions from them; one number a letter will do for words.
    prepared = trl.DPOTrainer._prepare_dataset(
        SimpleNamespace(_tokenizer=SimpleNamespace(eos_token="\n")),
        rows,
        lambda text, **_: {"input_ids": [ord(letter) for letter in text]},
        trl.DPOConfig(output_dir=str(tmp_path / "out"), report_to=[], use_cpu=True, bf16=False),
        "train",
    )
    for row, path in zip(prepared, rows["rejected"], strict=True):
        assert "".join(map(chr, row["prompt_ids"] + row["rejected_ids"])).endswith(f"{path}\n")


def test_diffsynth_finds_videos_and_prompt(planted, tmp_path):
    """Its reader takes a row of the array as it is, and loads each key that it is told of from the folder."""
    folder = write_format(planted, tmp_path / "diffsynth", ExportFormat.DIFFSYNTH)
    rows = json.loads((folder / "metadata.json").read_text())
    assert [row["prompt"] for row in rows] == [f'She turns, "röd" jacket, {number}' for number in POSTERIORS]
    for number, row in zip(POSTERIORS, rows, strict=True):
        files = [said(folder, row[key]) for key in ("video", "rejected_video", "reference_image")]
        assert files == [f"chosen-{number}.mp4", f"rejected-{number}.mp4", "photo.png"]


def test_diffusion_dpo_reads_labels(planted, tmp_path):
    folder = write_format(planted, tmp_path / "dpo", ExportFormat.DIFFUSION_DPO)
    rows = loaded(folder, tmp_path / "cache")
    assert rows.features["label_0"].dtype == "float64"
    for number, row in zip(POSTERIORS, rows, strict=True):
        assert row["ranking_id"] == number and row["label_0"] + row["label_1"] == 1
        # As its trainer does: turned around where number 0 was not chosen.
        videos = [row["video_0"], row["video_1"]][:: 1 if row["label_0"] else -1]
        assert [said(folder, path) for path in videos] == [f"chosen-{number}.mp4", f"rejected-{number}.mp4"]
        assert row["video_0_uid"] < row["video_1_uid"] and row["best_video_uid"] in videos[0]


def test_it_may_be_written_again_but_never_over_something_else(planted, tmp_path, capsys):
    arguments = [str(planted), str(tmp_path / "out"), "--format"]
    assert main([*arguments, "trl"]) == main([*arguments, "trl"]) == 0
    before = contents(tmp_path / "out")
    assert main([*arguments, "diffsynth"]) == 1
    said_there = capsys.readouterr().err
    assert "holds something else; name a new folder" in said_there and said_there.count("\n") == 1
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("link", [False, True])
def test_a_changed_file_ends_it_without_a_trace(planted, tmp_path, link):
    clip = next((planted / "media").glob("*.mp4"))
    clip.write_bytes(b"another")
    with pytest.raises(FrozenSetError, match=clip.name):
        write_format(planted, tmp_path / "out", ExportFormat.TRL, link=link)
    assert {p.name for p in tmp_path.iterdir()} == {"source", "set"}


def test_a_set_without_pairs_is_refused(tmp_path):
    write_export(tmp_path / "set", [], joint_states={}, rule=ExportRule.POOLED)
    with pytest.raises(FrozenSetError, match="holds no pair; collect more votes"):
        write_format(tmp_path / "set", tmp_path / "out", ExportFormat.TRL)
    assert not (tmp_path / "out").exists()
