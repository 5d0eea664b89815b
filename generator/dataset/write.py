"""Rows -> a dataset's folder.

    people.parquet  references.parquet  instances.parquet
    instances.jsonl     the instances with a target of training people who agreed to training, as `rlhf.sft`
                        reads them
    media/              every clip, photo, crop and annotation once, named by its sha256
    README.md           a card, so that `datasets.load_dataset(DIR, "instances")` finds the tables
    manifest.json       counts, licences, hashes

The same rows give the same bytes. Memory does not grow with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from generator.dataset.columns import TABLES, columns
from generator.dataset.manifest import Manifest
from generator.dataset.rows import InstanceRow, PersonRow, ReferenceRow
from generator.files import file_sha256
from generator.frozen_set import encode_line, place_media, staged
from generator.frozen_table import TableWriter

#: The name that `rlhf.sft` looks for in a folder.
TRAINING_FILE = "instances.jsonl"


def write_dataset(
    folder: Path | str,
    people: Iterable[PersonRow],
    references: Iterable[ReferenceRow],
    instances: Iterable[InstanceRow],
    *,
    left_out: Mapping[str, int],
) -> Manifest:
    """Write a dataset; a folder that holds the same one already is left as it is.

    Args:
        folder: the dataset's folder; its parent is made when missing.
        people: in ascending order of source and name.
        references: of these people, in ascending order of person and sha256.
        instances: of these people, in ascending order of person and `instance_id`.
        left_out: what is not in the dataset, per reason.

    Returns:
        The manifest as written.

    Raises:
        FrozenSetError: a file that is missing or has other bytes than stated, or another dataset in `folder`.
    """
    folder = Path(folder)
    with staged(folder) as partial:
        manifest = _write(partial, people, references, instances, left_out)
    manifest.expect_in(folder)
    return manifest


def _write(
    folder: Path,
    people: Iterable[PersonRow],
    references: Iterable[ReferenceRow],
    instances: Iterable[InstanceRow],
    left_out: Mapping[str, int],
) -> Manifest:
    counts: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    tables, rows_sha256, learned_from = columns(), {}, set()
    with TableWriter(folder / "people.parquet", tables["people"]) as table:
        for person in people:
            table.add(person.to_json())
            counts["people"] += 1
            licences[person.licence] += 1
            if person.split == "train" and "train" in (person.consent or ()):
                learned_from.add((person.source, person.person))
        rows_sha256["people"] = table.sha256
    with TableWriter(folder / "references.parquet", tables["references"]) as table:
        for reference in references:
            table.add(reference.to_json())
            counts["references"] += 1
            counts["media"] += sum(place_media(file, folder) for file in reference.files)
        rows_sha256["references"] = table.sha256
    rows_sha256["instances"] = _write_instances(folder, instances, learned_from, counts)
    manifest = Manifest(
        num_people=counts["people"],
        num_references=counts["references"],
        num_instances=counts["instances"],
        num_training_instances=counts["training"],
        num_media=counts["media"],
        licences=dict(licences),
        rows_sha256=rows_sha256,
        training_sha256=file_sha256(folder / TRAINING_FILE),
        left_out=dict(left_out),
    )
    (folder / "README.md").write_text(_card(manifest), encoding="utf-8", newline="\n")
    manifest.write(folder)
    return manifest


def _write_instances(
    folder: Path, instances: Iterable[InstanceRow], learned_from: Set[tuple[str, str]], counts: Counter[str]
) -> str:
    """The table, and beside it the lines for training; returns the hash of the rows."""
    with (
        TableWriter(folder / "instances.parquet", columns()["instances"]) as table,
        open(folder / TRAINING_FILE, "wb") as lines,
    ):
        for instance in instances:
            table.add(instance.to_json())
            counts["instances"] += 1
            counts["media"] += sum(place_media(file, folder) for file in instance.files)
            if instance.target is not None and (instance.source, instance.person) in learned_from:
                lines.write(encode_line(instance.to_training_json()))
                counts["training"] += 1
        return table.sha256


def _card(manifest: Manifest) -> str:
    """The card in the layout of the Hugging Face hub; its head names the tables."""
    tables = "".join(f"- config_name: {name}\n  data_files: {name}.parquet\n" for name in TABLES)
    licences = "".join(
        f"- {licence or 'not stated'}: {count}\n" for licence, count in sorted(manifest.licences.items())
    )
    return (
        f"---\nconfigs:\n{tables}---\n\n"
        f"{manifest.num_people} people, {manifest.num_references} references, "
        f"{manifest.num_instances} instances.\n\n"
        "Faces are personal data: keep to each person's licence and consent (`people.parquet`).\n\n"
        f"People per licence:\n\n{licences}"
    )
