"""Datasets: equal rows, equal bytes; what was changed is noticed; other tools read them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from generator.curation.augmentation import Recipe
from generator.dataset.columns import TABLES, columns
from generator.dataset.manifest import Manifest
from generator.dataset.read import read_dataset
from generator.dataset.rows import InstanceRow, PersonRow, PlaceRow, PromptRow, ReferenceRow
from generator.dataset.write import write_dataset
from generator.files import file_sha256
from generator.frozen_set import FrozenSetError, MediaFile
from generator.records import ELEMENTS, ElementChange, ReferenceKind

ROOT = Path(__file__).resolve().parents[3]
Rows = tuple[list[PersonRow], list[ReferenceRow], list[InstanceRow]]


def stored(folder: Path, name: str, content: str) -> MediaFile:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return MediaFile(folder / name, file_sha256(folder / name))


def prompt(text: str) -> PromptRow:
    changes = [
        ElementChange(name, "før" if name == "action" else None, "etter", name == "action", 0.25, text)
        for name in ELEMENTS
    ]
    return PromptRow(text, "tests", tuple(changes))


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Ada trains, Bo does not; both have two references, a crop, and an instance with a target."""
    folder = tmp_path / "files"
    people, references, instances = [], [], []
    for person, split in (("ada", "train"), ("bo", "eval")):
        day = date(2040, 2, 29) if person == "ada" else None
        people.append(
            PersonRow("studio", person, split, "CC-BY-4.0", ("show", "train"), day, "", {"seed": [1, 2.5]})
        )
        files = [stored(folder, f"{person}{number}.mp4", f"{person} {number}") for number in (1, 2)]
        for number, file in enumerate(sorted(files, key=lambda item: item.sha256)):
            references.append(
                ReferenceRow(
                    source="studio",
                    person=person,
                    file=file,
                    kind=ReferenceKind.CLIP,
                    source_name="clip.mov",
                    source_sha256=f"{number:064x}",
                    shot=0,
                    is_primary=number == 0,
                    width=64,
                    height=48,
                    num_frames=17,
                    fps=8.0,
                    elements={name: f"{name} {number}" for name in ELEMENTS} if number else None,
                    facts={"codec": "h264"},
                    boxes={},
                    quality={"blur": 1.5},
                    annotation=stored(folder, f"{person}{number}.json.gz", f"seen {person} {number}"),
                )
            )
        crop = stored(folder, f"{person}-crop.png", f"crop of {person}")
        recipe = Recipe(ReferenceKind.PHOTO, files[0].sha256, 3, 4, 0, 0, 20, 20, 7)
        instances.append(
            InstanceRow(
                source="studio",
                person=person,
                split=split,
                instance_id=f"{len(instances):064x}",
                references=(PlaceRow(crop, ReferenceKind.PHOTO, files[0].sha256, recipe),),
                target=files[1],
                prompts=(prompt("The first words."), prompt("The last words.")),
            )
        )
    return people, references, instances


def write(folder: Path, rows: Rows, **left_out: int) -> Manifest:
    return write_dataset(folder, *rows, left_out=left_out)


def test_it_reads_back_what_it_wrote(tmp_path: Path, rows: Rows) -> None:
    manifest = write(tmp_path / "set", rows, rejected=3)
    dataset = read_dataset(tmp_path / "set")
    assert dataset.manifest == manifest
    again = (list(dataset.people()), list(dataset.references()), list(dataset.instances()))
    assert again[0] == rows[0]
    for table, originals in zip(again, rows, strict=True):
        assert [row.to_json() for row in table] == [row.to_json() for row in originals]
    assert (manifest.num_people, manifest.num_references, manifest.num_instances) == (2, 4, 2)
    assert manifest.num_media == 4 + 4 + 2 == len(list((tmp_path / "set/media").iterdir()))
    assert (manifest.licences, manifest.left_out) == ({"CC-BY-4.0": 2}, {"rejected": 3})
    for reference in again[1]:
        assert all(file_sha256(file.path) == file.sha256 for file in reference.files)


def test_equal_rows_give_equal_bytes(tmp_path: Path, rows: Rows) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, rows)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*"))
    assert files == sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*"))
    for file in files:
        if (tmp_path / "one" / file).is_file():
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_what_was_left_out_is_told_but_makes_no_other_dataset(tmp_path: Path, rows: Rows) -> None:
    first = write(tmp_path / "set", rows, expired=1)
    assert write(tmp_path / "set", rows).content_hash == first.content_hash
    others = ([replace(rows[0][0], licence="other"), rows[0][1]], *rows[1:])
    with pytest.raises(FrozenSetError, match="holds another dataset.*write into a new folder"):
        write(tmp_path / "set", others)
    assert read_dataset(tmp_path / "set").manifest == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_only_people_who_train_are_learned_from(tmp_path: Path, rows: Rows) -> None:
    assert write(tmp_path / "set", rows).num_training_instances == 1
    (line,) = (tmp_path / "set/instances.jsonl").read_text().splitlines()
    ada = rows[2][0]
    assert ada.target is not None
    assert json.loads(line) == {
        "instance_id": ada.instance_id,
        "id_group": "studio/ada",
        "prompt": "The last words.",
        "references": [{"path": ada.references[0].file.name, "kind": "photo"}],
        "target": {"path": ada.target.name},
    }


def test_datasets_loads_it(tmp_path: Path, rows: Rows) -> None:
    datasets = pytest.importorskip("datasets")
    write(tmp_path / "set", rows)
    for table, originals in zip(TABLES, rows, strict=True):
        loaded = datasets.load_dataset(
            str(tmp_path / "set"), table, split="train", cache_dir=str(tmp_path / "cache")
        )
        assert loaded.to_list() == [row.to_json() for row in originals]


def test_an_empty_dataset_has_the_same_columns(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "set", ([], [], []))
    for table in TABLES:
        assert parquet.read_schema(tmp_path / "set" / f"{table}.parquet") == pa.schema(columns()[table])
    assert list(read_dataset(tmp_path / "set").people()) == []


def test_every_column_is_documented() -> None:
    text = (ROOT / "docs/dataset.md").read_text(encoding="utf-8")
    for table, named in columns().items():
        section = text.split(f"## `{table}.parquet`", 1)[1].split("\n## ", 1)[0]
        assert [name for name, _ in named if f"| `{name}` |" not in section] == []


def test_a_changed_table_is_named(tmp_path: Path, rows: Rows) -> None:
    write(tmp_path / "set", rows)
    write(tmp_path / "other", ([replace(rows[0][0], split="benchmark"), rows[0][1]], *rows[1:]))
    (tmp_path / "other/people.parquet").replace(tmp_path / "set/people.parquet")
    with pytest.raises(FrozenSetError, match=r"people\.parquet has other rows"):
        read_dataset(tmp_path / "set")
    (tmp_path / "set/people.parquet").write_bytes(b"no parquet")
    with pytest.raises(FrozenSetError, match=r"people\.parquet cannot be read"):
        read_dataset(tmp_path / "set")
    (tmp_path / "set/people.parquet").unlink()
    with pytest.raises(FrozenSetError, match=r"people\.parquet cannot be read"):
        read_dataset(tmp_path / "set")


def test_a_changed_manifest_is_named(tmp_path: Path, rows: Rows) -> None:
    write(tmp_path / "set", rows)
    path = tmp_path / "set/manifest.json"
    content = json.loads(path.read_text())
    for change, says in (
        ({"num_people": 3}, "does not match its own content_hash"),
        ({"format": "other-1"}, "has format 'other-1'"),
        ({"more": 1}, "does not describe a dataset of format.*unknown field"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(FrozenSetError, match=says):
            read_dataset(tmp_path / "set")
    path.unlink()
    with pytest.raises(FrozenSetError, match=r"is no dataset: it has no manifest\.json"):
        read_dataset(tmp_path / "set")


def test_a_missing_or_changed_file_is_named_and_nothing_is_left(tmp_path: Path, rows: Rows) -> None:
    file = rows[1][0].file
    file.path.write_text("other bytes")
    with pytest.raises(FrozenSetError, match=f"has sha256 .*, not {file.sha256}"):
        write(tmp_path / "set", rows)
    file.path.unlink()
    with pytest.raises(FrozenSetError, match=f"{file.path.name} is missing"):
        write(tmp_path / "set", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (0, {"split": "test"}),
        (0, {"person": ""}),
        (0, {"person": "x" * 201}),
        (0, {"consent_expires_on": "soon"}),
        (0, {"consent": ["research"]}),
        (0, {"truth": "[]"}),
        (1, {"path": "../../etc/passwd"}),
        (1, {"path": "media/" + "0" * 64 + ".mp4"}),
        (1, {"kind": "hologram"}),
        (1, {"source_sha256": "short"}),
        (2, {"instance_id": "../escape"}),
        (2, {"references": []}),
        (2, {"prompts": []}),
    ],
)
def test_it_refuses_rows_that_the_format_does_not_allow(
    tmp_path: Path, rows: Rows, table: int, change: dict[str, Any]
) -> None:
    row = rows[table][0]
    with pytest.raises(ValueError):
        type(row).from_json(row.to_json() | change, tmp_path)


def test_it_refuses_a_shown_target_and_an_unexplained_file(tmp_path: Path, rows: Rows) -> None:
    item = rows[2][0].to_json()
    target = rows[2][0].references[0]
    with pytest.raises(ValueError, match="or its own target"):
        InstanceRow.from_json(
            item | {"target": {"path": f"media/{target.reference}.mp4", "sha256": target.reference}}, tmp_path
        )
    with pytest.raises(ValueError, match="by another file without a recipe"):
        PlaceRow.from_json(item["references"][0] | {"recipe": None}, tmp_path)


def many(count: int) -> Iterator[PersonRow]:
    for number in range(count):
        yield PersonRow("studio", f"person {number:06}", "train", truth={"seed": number, "text": "x" * 200})


def peak_of_writing(folder: Path, count: int) -> int:
    tracemalloc.start()
    try:
        write_dataset(folder, many(count), (), (), left_out={})
        for _ in read_dataset(folder).people():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    peak_of_writing(tmp_path / "warm", 300)
    small, large = (peak_of_writing(tmp_path / f"{count}", count) for count in (1_500, 6_000))
    assert large < 1.5 * small
