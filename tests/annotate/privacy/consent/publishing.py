"""Somebody's media leave the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.exports.files import export_zip
from annotate.exports.freezing import export_round
from annotate.models import Use
from annotate.people.datasets import export_dataset
from tests.annotate.privacy.consent.entry_points import Change, EntryPoints, dominant_round
from tests.factories import make_group, make_reference, make_user
from tests.runs import run

ENTRY_POINTS = EntryPoints()


@ENTRY_POINTS.needs(Use.PUBLISH)
def download_of_an_export(change: Change, folder: Path) -> Any:
    frozen = export_round(dominant_round(person := make_group()))
    change(person)
    return export_zip(frozen, "set", make_user(role="lead"))


@ENTRY_POINTS.needs(Use.PUBLISH)
def export_to_hand_out(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    out = folder / "out"
    run("export_pairs", "--round", round.name, "--format", "trl", "--out", out)
    return out.exists()


@ENTRY_POINTS.needs(Use.PUBLISH)
def dataset_to_hand_out(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return export_dataset(folder / "set").num_people


@ENTRY_POINTS.needs(Use.TRAIN)
def dataset_to_train_on(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return export_dataset(folder / "set", use=Use.TRAIN).num_people
