"""An exported set as other trainers read it: `python -m rlhf.export.formats EXPORT OUT --format trl`.

    trl              train.jsonl: `prompt`, `chosen` and `rejected`, TRL's preference format
    diffsynth        metadata.json: `video` is the chosen clip, `rejected_video` the other one
    diffusion-dpo    data/train-00000-of-00001.parquet: as Pick-a-Pic, with videos for its images
    media/           the files of the set, under the same names; all paths are relative to the folder
    README.md        the columns; also tells `datasets.load_dataset` where the rows are
    format.json      which set it was made of, and the sha256 of what was written

The same set gives the same bytes. `docs/exports.md` says what is each peer's convention and what is ours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from generator.files import file_sha256
from generator.frozen_set import (
    FrozenSetError,
    MediaFile,
    encode_line,
    expect_file,
    place_media,
    staged,
    write_facts,
)
from generator.frozen_table import write_table
from rlhf.export.freezing import Export, Manifest, read_export
from rlhf.export.row import ExportRow

VERSION = 1
DESCRIPTION = "format.json"


class ExportFormat(StrEnum):
    """Whose trainer reads the folder."""

    TRL = "trl"
    DIFFSYNTH = "diffsynth"
    DIFFUSION_DPO = "diffusion-dpo"


def trl_row(row: ExportRow) -> dict[str, Any]:
    """TRL's standard preference row. Its videos are paths, since TRL has no column for a clip."""
    return {
        "prompt": row.differential_prompt,
        "chosen": row.chosen.file.name,
        "rejected": row.rejected.file.name,
        **_shared(row),
        "tracks": row.to_json()["tracks"],
    }


def diffsynth_row(row: ExportRow) -> dict[str, Any]:
    """DiffSynth-Studio's row of a video; what it reads of it is named by `--data_file_keys`.

    It has no convention for pairs: `rejected_video` is ours. Without that key it trains on the chosen clips.
    """
    return {
        "video": row.chosen.file.name,
        "rejected_video": row.rejected.file.name,
        "prompt": row.differential_prompt,
        "reference_image": row.references[0].file.name,
        **_shared(row),
        "tracks": row.to_json()["tracks"],
    }


def diffusion_dpo_row(row: ExportRow) -> dict[str, Any]:
    """Pick-a-Pic's row with `video_` for `jpg_`: the label of a video is 1 where it is the chosen one.

    Which video is number 0 is decided by their hashes, so nothing can be learnt from the place alone.
    """
    videos = sorted((row.chosen, row.rejected), key=lambda sample: sample.file.sha256)
    labels = [float(sample is row.chosen) for sample in videos]
    return {
        "caption": row.differential_prompt,
        **{f"video_{number}": sample.file.name for number, sample in enumerate(videos)},
        **{f"label_{number}": label for number, label in enumerate(labels)},
        **{f"video_{number}_uid": sample.file.sha256 for number, sample in enumerate(videos)},
        "best_video_uid": row.chosen.file.sha256,
        **{f"model_{number}": row.model_version for number in range(2)},
        "ranking_id": row.pair_id,
        **_shared(row),
    }


def _shared(row: ExportRow) -> dict[str, Any]:
    """What every format has room for."""
    return {
        "pair_id": row.pair_id,
        "id_group": row.id_group,
        "references": [reference.file.name for reference in row.references],
        "reference_kinds": [str(reference.kind) for reference in row.references],
        "weight": round(row.certainty, 6),
        "licence": row.licence,
        "is_simulated": row.is_simulated,
    }


def write_lines(rows: Iterable[dict[str, Any]], target: Path) -> None:
    """One JSON object a line."""
    with open(target, "wb") as file:
        file.writelines(encode_line(row) for row in rows)


def write_array(rows: Iterable[dict[str, Any]], target: Path) -> None:
    """One JSON array, one row per line."""
    with open(target, "wb") as file:
        for number, row in enumerate(rows):
            file.write((b",\n" if number else b"[\n") + encode_line(row).rstrip(b"\n"))
        file.write(b"\n]\n")


def write_labelled(rows: Iterable[dict[str, Any]], target: Path) -> None:
    """Parquet with stated columns, row group by row group."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    columns: dict[str, pa.DataType] = {
        **dict.fromkeys(("caption", "video_0", "video_1"), text),
        **dict.fromkeys(("label_0", "label_1"), pa.float64()),
        **dict.fromkeys(("video_0_uid", "video_1_uid", "best_video_uid", "model_0", "model_1"), text),
        **dict.fromkeys(("ranking_id", "pair_id"), pa.int64()),
        "id_group": text,
        **dict.fromkeys(("references", "reference_kinds"), texts),
        "weight": pa.float64(),
        "licence": text,
        "is_simulated": pa.bool_(),
    }
    write_table(rows, target, list(columns.items()))


@dataclass(frozen=True)
class Layout:
    """How a format is written, and what its reader should know."""

    table: str
    row: Callable[[ExportRow], dict[str, Any]]
    write: Callable[[Iterable[dict[str, Any]], Path], None]
    reading: str


LAYOUTS = {
    ExportFormat.TRL: Layout(
        "train.jsonl",
        trl_row,
        write_lines,
        "A preference dataset for TRL. `prompt` is the change that was asked for, `chosen` and `rejected`\n"
        "are paths of videos. A text model would train on the paths: give it to a trainer that loads them.",
    ),
    ExportFormat.DIFFSYNTH: Layout(
        "metadata.json",
        diffsynth_row,
        write_array,
        "For DiffSynth-Studio:\n\n"
        "    --dataset_base_path FOLDER --dataset_metadata_path FOLDER/metadata.json\n"
        "    --data_file_keys video,rejected_video,reference_image\n\n"
        "`video` is the chosen clip. It knows no preference pairs: `rejected_video` is read only where\n"
        "it is named, and only a preference loss makes use of it.",
    ),
    ExportFormat.DIFFUSION_DPO: Layout(
        "data/train-00000-of-00001.parquet",
        diffusion_dpo_row,
        write_labelled,
        "Columns of Pick-a-Pic, as Diffusion-DPO reads them, with the paths `video_0` and `video_1` in\n"
        "place of the bytes `jpg_0` and `jpg_1`. The video whose label is 1 was chosen.",
    ),
}

_README = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: {table}
---

# Preference pairs

{reading}

Paths are relative to this folder. `references` are of the person, the primary one first. `weight` is how sure
the votes are of both tracks' verdicts, from 0 to 1. The pairs are those of the exported set
`{source}`, chosen by the rule `{rule}`.
"""


def write_tables(export: Export, folder: Path, export_format: ExportFormat) -> None:
    """Write everything but the media of a set into an empty folder.

    Raises:
        FrozenSetError: the set holds no pair, or a row that cannot be read.
    """
    manifest, layout = export.manifest, LAYOUTS[export_format]
    if not manifest.num_pairs:
        raise FrozenSetError(f"{export.folder} holds no pair; collect more votes and export again")
    (folder / layout.table).parent.mkdir(exist_ok=True)
    layout.write(map(layout.row, export.rows()), folder / layout.table)
    readme = _README.format(
        table=layout.table, reading=layout.reading, source=manifest.content_hash, rule=manifest.rule
    )
    (folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")
    description = {
        "format": str(export_format),
        "version": VERSION,
        "set": manifest.content_hash,
        "rule": manifest.rule,
        "num_pairs": manifest.num_pairs,
        "num_simulated": manifest.num_simulated,
        "num_media": manifest.num_media,
        "licences": dict(manifest.licences),
        "sha256": {name: file_sha256(folder / name) for name in ("README.md", layout.table)},
    }
    write_facts(folder / DESCRIPTION, description)


def media_of(export: Export) -> Iterator[MediaFile]:
    """Every media file of a set once, in the order of its pairs; raises as `Export.rows`."""
    seen: set[str] = set()
    for row in export.rows():
        for file in row.files:
            if file.name not in seen:
                seen.add(file.name)
                yield file


def write_format(
    source: Path | str, target: Path | str, export_format: ExportFormat, *, link: bool = False
) -> Path:
    """Write a set as another trainer reads it; nothing is visible in `target` until it is complete.

    Writing the same again is allowed and changes nothing. Hard links to the set's media can stand for copies.

    Raises:
        FrozenSetError: `source` is no complete set, or something else is in `target`.
    """
    target = Path(target)
    export = read_export(source, verify_media=False)  # each file is verified when it is placed
    with staged(target) as partial:
        write_tables(export, partial, export_format)
        for file in media_of(export):
            if link:
                _link(file, partial)
            else:
                place_media(file, partial)
        description = (partial / DESCRIPTION).read_bytes()
    there = target / DESCRIPTION
    if not there.is_file() or there.read_bytes() != description:
        raise FrozenSetError(f"{target} holds something else; name a new folder")
    return target


def _link(file: MediaFile, folder: Path) -> None:
    """A second name for a verified file, on the same file system."""
    expect_file(file.path, file.sha256, Manifest.remedy)
    try:
        os.link(file.path, folder / file.name)
    except OSError as error:
        raise FrozenSetError(
            f"{file.path} cannot be linked into {folder.parent} ({error.strerror}); leave --link out to copy"
        ) from None


def main(arguments: list[str]) -> int:
    """Run the command; 0 done, 1 failed with one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m rlhf.export.formats", description="An exported set as other trainers read it."
    )
    parser.add_argument("export", type=Path, help="folder of an exported set")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--format", required=True, choices=[str(choice) for choice in ExportFormat])
    parser.add_argument("--link", action="store_true", help="hard links to the set's media, not copies")
    options = parser.parse_args(arguments)
    try:
        print(write_format(options.export, options.out, ExportFormat(options.format), link=options.link))
    except (FrozenSetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
