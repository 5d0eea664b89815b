"""The tables of an evaluation, as its run's page shows them."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from annotate.models import Run
from annotate.storage.opening import site_storage
from rlhf.evaluation.report import tables as report_tables
from rlhf.evaluation.stored import in_current_keys
from rlhf.plots.marks import Scale
from rlhf.plots.pages import span

#: Of a column that a system has nothing of.
_NO_FIGURES = dict.fromkeys(("mean", "low", "high", "gain", "gain_low", "gain_high", "win_rate"))


def report_path(run: Run) -> str:
    return f"{run.folder}/{report_tables.REPORT_FILE}"


def sheet_path(run: Run) -> str:
    return f"{run.folder}/{report_tables.SHEET_FILE}"


def before_and_after(run: Run) -> dict[str, Any]:
    """What the round's page shows of a comparison beside its win rates."""
    result = in_current_keys(run.result or {})
    return {
        "run": run,
        "tracks": {name: result.get(name) for name in ("identity", "controllability")},
        "settings": result.get("settings"),
        "faults": report_tables.fault_rates(result),
        "has_sheet": site_storage().exists(sheet_path(run)),
    }


def evaluation_tables(run: Run) -> dict[str, Any]:
    """The tables of a run's report; one from before there were columns has none."""
    result = in_current_keys(run.result or {})
    columns, refused = report_tables.shown_columns(result)
    systems = report_tables.system_rows(result)
    labels = {system.name: system.label for system in systems}
    return {
        "columns": columns,
        "refused": refused,
        "means": _means(result, systems, columns),
        "differences": _differences(result, systems, columns),
        "directions": report_tables.shown_directions(result, columns),
        "reference": next((system for system in systems if system.is_reference), None),
        "set": result.get("set"),
        "tracks": {name: result[name] for name in ("identity", "controllability") if result.get(name)},
        "compared": [labels.get(name, name) for name in result.get("compare") or []],
        "seconds": result.get("seconds"),
        "faults": report_tables.fault_rates(result),
        "has_report": site_storage().exists(report_path(run)),
        "has_sheet": site_storage().exists(sheet_path(run)),
    }


def _means(
    result: dict[str, Any], systems: list[report_tables.SystemRow], columns: list[Any]
) -> list[dict[str, Any]]:
    table = result.get("table") or {}
    best = report_tables.best_means(result)
    return [
        {
            "system": system,
            "cells": [
                {**cell, "is_best": cell["mean"] is not None and cell["mean"] == best.get(column["name"])}
                for column in columns
                for cell in [_NO_FIGURES | table[system.name].get(column["name"], {})]
            ],
        }
        for system in systems
        if system.name in table
    ]


def _differences(
    result: dict[str, Any], systems: list[report_tables.SystemRow], columns: list[Any]
) -> list[dict[str, Any]]:
    found = result.get("differences") or {}
    scale = report_tables.difference_scale(result, columns)
    return [
        {
            "column": column,
            "rows": [
                {"system": system, "cell": cell, "drawn": _drawn(cell, scale)}
                for system in systems
                if system.name in found
                for cell in [_NO_FIGURES | found[system.name].get(column["name"], {})]
            ],
        }
        for column in report_tables.paired_columns(result, columns)
    ]


def _drawn(cell: dict[str, Any], scale: Scale) -> Markup:
    value, low, high = (
        None if cell[name] is None else 100 * cell[name] for name in ("gain", "gain_low", "gain_high")
    )
    return span(value, low, high, level=0, scale=(scale.low, scale.high))
