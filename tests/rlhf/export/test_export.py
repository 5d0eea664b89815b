import hashlib
import json
from dataclasses import replace

import pytest

from generator.frozen_set import FrozenSetError, MediaFile
from generator.records import ELEMENTS, ElementChange, ReferenceKind
from rlhf.export.freezing import Export, Manifest, read_export, write_export
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.records import Track, Verdict
from rlhf.votes.consensus import resolve_track

COUNTS = {"dominant": 3, "tied": 2}
REASONS = {"controllability tied 1-1 with 1 abstention": 2}


def media(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return MediaFile(path, hashlib.sha256(content).hexdigest())


@pytest.fixture
def rows(tmp_path):
    """Three pairs of two people; one reference is shared by all."""
    source = tmp_path / "source"
    source.mkdir()
    shared = media(source, "primary.PNG", b"photo")
    votes = TrackVotes.from_consensus(resolve_track([Verdict.FIRST] * 2 + [Verdict.TIE], 3))
    elements = tuple(
        ElementChange(e, "a", "b" if e == "clothing" else "a", e == "clothing") for e in ELEMENTS
    )
    return [
        ExportRow(
            pair_id=number,
            id_group=f"person {number % 2}",
            references=(
                ExportReference(shared, ReferenceKind.PHOTO),
                ExportReference(media(source, f"r{number}.mp4", b"clip%d" % number), ReferenceKind.CLIP),
            ),
            differential_prompt="She wears a röd jacket.",
            elements=elements,
            chosen=ExportSample(media(source, f"c{number}.mp4", b"chosen%d" % number), 2**40 + number),
            rejected=ExportSample(media(source, f"j{number}.mp4", b"rejected%d" % number), number),
            tracks={Track.CONTROLLABILITY: votes, Track.IDENTITY: votes},
            model_version="sft-1",
            licence="CC0-1.0" if number < 11 else "CC-BY-4.0",
            is_simulated=number == 2,
        )
        for number in (2, 10, 11)
    ]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_writes_the_same_bytes_twice(tmp_path, rows):
    write_export(tmp_path / "one", iter(rows), joint_states=COUNTS, reasons=REASONS)
    write_export(tmp_path / "two", iter(rows), joint_states=dict(reversed(COUNTS.items())), reasons=REASONS)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert {p.name for p in tmp_path.iterdir()} == {"source", "one", "two"}


def test_it_writes_the_format_of_the_design(tmp_path, rows):
    write_export(tmp_path / "set", rows, joint_states=COUNTS)
    first = json.loads((tmp_path / "set/pairs.jsonl").read_text().splitlines()[0])
    assert {
        "pair_id",
        "id_group",
        "references",
        "primary_reference",
        "differential_prompt",
        "elements",
    } < set(first)
    assert first["win"]["seed"] == 2**40 + 2
    assert first["lose"]["path"] == f"media/{hashlib.sha256(b'rejected2').hexdigest()}.mp4"
    assert first["primary_reference"] == first["references"][0]["path"]
    assert first["references"][0]["path"].endswith(".png")
    assert first["tracks"]["identity"]["verdict"] == "first"
    assert first["tracks"]["identity"]["votes"] == {
        "first": 2,
        "second": 0,
        "tie": 1,
        "both_bad": 0,
        "unsure": 0,
    }


def test_it_counts_what_it_holds(tmp_path, rows):
    manifest = write_export(tmp_path / "set", rows, joint_states=COUNTS, reasons=REASONS)
    assert (manifest.num_pairs, manifest.num_simulated, manifest.num_media) == (3, 1, 1 + 3 * 3)
    assert manifest.licences == {"CC0-1.0": 2, "CC-BY-4.0": 1}
    assert manifest.joint_states == COUNTS
    assert len(list((tmp_path / "set/media").iterdir())) == manifest.num_media


def test_it_reads_back_what_it_wrote(tmp_path, rows):
    manifest = write_export(tmp_path / "set", rows, joint_states=COUNTS, reasons=REASONS)
    export = read_export(tmp_path / "set")
    assert export.manifest == manifest
    for row, expected in zip(export.rows(), rows, strict=True):
        assert row.chosen.file.path.read_bytes() == expected.chosen.file.path.read_bytes()
        assert row.elements == expected.elements
        assert [r.kind for r in row.references] == [r.kind for r in expected.references]
        assert row.tracks[Track.IDENTITY].votes == expected.tracks[Track.IDENTITY].votes
        assert row.id_group == expected.id_group


def test_it_may_be_written_again_but_never_changed(tmp_path, rows):
    first = write_export(tmp_path / "set", rows, joint_states=COUNTS)
    assert write_export(tmp_path / "set", rows, joint_states=COUNTS) == first
    with pytest.raises(FrozenSetError, match="holds another exported set"):
        write_export(tmp_path / "set", rows[:1], joint_states=COUNTS)
    assert read_export(tmp_path / "set").manifest == first


def test_it_leaves_nothing_behind_when_a_row_fails(tmp_path, rows):
    rows[1].chosen.file.path.write_bytes(b"another")
    with pytest.raises(FrozenSetError, match="has sha256"):
        write_export(tmp_path / "set", rows, joint_states=COUNTS)
    assert {p.name for p in tmp_path.iterdir()} == {"source"}


def test_it_refuses_rows_out_of_order(tmp_path, rows):
    with pytest.raises(FrozenSetError, match="pair 2 comes after pair 11"):
        write_export(tmp_path / "set", reversed([rows[0], rows[2]]), joint_states=COUNTS)


def test_it_names_a_missing_file(tmp_path, rows):
    rows[0].rejected.file.path.unlink()
    with pytest.raises(FrozenSetError, match="j2.mp4 is missing"):
        write_export(tmp_path / "set", rows, joint_states=COUNTS)


@pytest.mark.parametrize("victim", ["pairs.jsonl", "pairs.parquet", "manifest.json", "media"])
def test_it_notices_any_change(tmp_path, rows, victim):
    write_export(tmp_path / "set", rows, joint_states=COUNTS)
    path = tmp_path / "set" / victim
    path = next(path.iterdir()) if path.is_dir() else path
    path.write_bytes(path.read_bytes().replace(b'"num_pairs": 3', b'"num_pairs": 4') + b" ")
    with pytest.raises(FrozenSetError):
        read_export(tmp_path / "set")


def test_it_refuses_paths_out_of_its_own_folder(tmp_path, rows):
    write_export(tmp_path / "set", rows, joint_states=COUNTS)
    line = json.loads((tmp_path / "set/pairs.jsonl").read_text().splitlines()[0])
    line["win"]["path"] = "../source/c2.mp4"
    (tmp_path / "set/pairs.jsonl").write_text(json.dumps(line))
    manifest = Manifest(**json.loads((tmp_path / "set/manifest.json").read_text()))
    with pytest.raises(FrozenSetError, match="line 1 is not a pair"):
        list(Export(tmp_path / "set", manifest).rows())


def test_it_refuses_a_pair_without_both_tracks(rows):
    with pytest.raises(ValueError, match="both are needed"):
        replace(rows[0], tracks={Track.IDENTITY: rows[0].tracks[Track.IDENTITY]})


def test_its_parquet_loads_with_datasets(tmp_path, rows, monkeypatch):
    datasets = pytest.importorskip("datasets")
    write_export(tmp_path / "set", rows, joint_states=COUNTS)
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "set/pairs.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    lines = [json.loads(line) for line in (tmp_path / "set/pairs.jsonl").read_text().splitlines()]
    assert loaded.to_list() == lines


def test_an_empty_set_has_the_same_columns(tmp_path, rows):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_export(tmp_path / "empty", [], joint_states={})
    write_export(tmp_path / "set", rows, joint_states=COUNTS)
    schemas = [parquet.read_schema(tmp_path / name / "pairs.parquet") for name in ("empty", "set")]
    assert schemas[0] == schemas[1]
    assert list(read_export(tmp_path / "empty").rows()) == []
