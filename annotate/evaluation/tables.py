"""The tables of an evaluation, as its run's page shows them."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from annotate.models import Run
from annotate.storage.opening import site_storage
from rlhf.evaluation.report import tables as report_tables
from rlhf.plots.marks import Scale
from rlhf.plots.pages import span

#: Of a column that an arm has nothing of.
_NO_FIGURES = dict.fromkeys(("mean", "low", "high", "gain", "gain_low", "gain_high", "win_rate"))


def report_path(run: Run) -> str:
    return f"{run.folder}/{report_tables.REPORT_FILE}"


def evaluation_tables(run: Run) -> dict[str, Any]:
    """The tables of a run's report; one from before there were columns has none."""
    result = run.result or {}
    columns, refused = report_tables.shown_columns(result)
    arms = report_tables.arm_rows(result)
    labels = {arm.name: arm.label for arm in arms}
    return {
        "columns": columns,
        "refused": refused,
        "means": _means(result, arms, columns),
        "differences": _differences(result, arms, columns),
        "directions": report_tables.shown_directions(result, columns),
        "reference": next((arm for arm in arms if arm.is_reference), None),
        "set": result.get("set"),
        "tracks": {name: result[name] for name in ("identity", "controllability") if result.get(name)},
        "compared": [labels.get(name, name) for name in result.get("compare") or []],
        "seconds": result.get("seconds"),
        "has_report": site_storage().exists(report_path(run)),
    }


def _means(
    result: dict[str, Any], arms: list[report_tables.ArmRow], columns: list[Any]
) -> list[dict[str, Any]]:
    table = result.get("table") or {}
    best = report_tables.best_means(result)
    return [
        {
            "arm": arm,
            "cells": [
                {**cell, "is_best": cell["mean"] is not None and cell["mean"] == best.get(column["name"])}
                for column in columns
                for cell in [_NO_FIGURES | table[arm.name].get(column["name"], {})]
            ],
        }
        for arm in arms
        if arm.name in table
    ]


def _differences(
    result: dict[str, Any], arms: list[report_tables.ArmRow], columns: list[Any]
) -> list[dict[str, Any]]:
    found = result.get("differences") or {}
    scale = report_tables.difference_scale(result, columns)
    return [
        {
            "column": column,
            "rows": [
                {"arm": arm, "cell": cell, "drawn": _drawn(cell, scale)}
                for arm in arms
                if arm.name in found
                for cell in [_NO_FIGURES | found[arm.name].get(column["name"], {})]
            ],
        }
        for column in report_tables.paired_columns(result, columns)
    ]


def _drawn(cell: dict[str, Any], scale: Scale) -> Markup:
    value, low, high = (
        None if cell[name] is None else 100 * cell[name] for name in ("gain", "gain_low", "gain_high")
    )
    return span(value, low, high, level=0, scale=(scale.low, scale.high))
