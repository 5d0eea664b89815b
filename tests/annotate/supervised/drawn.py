"""People of the embedded world with instances that have targets, as `make demo` draws and imports them."""

from __future__ import annotations

from pathlib import Path

from annotate.people.curation import curate_people
from annotate.people.identities import import_people
from annotate.people.instances import build_instances
from generator.instances import Draw
from generator.portraits.__main__ import write_people
from generator.portraits.world import Split


def draw_people(folder: Path, count: int = 2, *, split: Split = "train", per_person: int = 1) -> None:
    write_people(folder, count, split)
    report = import_people(folder, source="portraits", split=split)
    curate_people(report.people)
    build_instances(Draw(count=per_person, seed=1, with_target=True), split=split, source="portraits")
