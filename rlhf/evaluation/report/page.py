"""The report of an evaluation: one file that opens anywhere, without network or script.

An evaluation writes it; `python -m rlhf.evaluation.report RUNDIR` writes it again from a finished one. Its
numbers are those of `result.json`, times 100 with two decimals as the paper prints them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from generator.files import replacing
from generator.rundir import RunDir
from rlhf.evaluation.report import cases as report_cases
from rlhf.evaluation.report import frames as report_frames
from rlhf.evaluation.report import tables as report_tables
from rlhf.evaluation.report.tables import REPORT_FILE, Result, SystemRow, points, signed
from rlhf.evaluation.stored import in_current_keys
from rlhf.plots import reports

TEMPLATE = "report.html.jinja"


def main(run: RunDir, attached: bool) -> None:
    """Write the report of a finished run.

    Raises:
        RunError: the run has not ended.
    """
    write_report(run.path, in_current_keys(run.read_result()))


def write_report(folder: Path, result: Result) -> Path:
    """Write `report.html` into a run folder, atomically; equal results and videos give equal bytes.

    Args:
        folder: of the run; request, videos and score files are read where they are there.
        result: as `result.json` has it, or will have it; what it lacks, the report says it lacks.

    Returns:
        The file.

    Raises:
        OSError: the file cannot be written.
        RunError: `request.json` is there and not readable.
        ValueError: an instance of the request is none.
    """
    target = folder / REPORT_FILE
    page = _environment().get_template(TEMPLATE).render(_context(RunDir(folder), result))
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=points, signed=signed, duration=duration, settings=settings_words)
    return environment


def _context(run: RunDir, result: Result) -> dict[str, Any]:
    systems = report_tables.system_rows(result)
    columns, refused = report_tables.shown_columns(result)
    reference = next((system for system in systems if system.is_reference), None)
    against = _against(result, systems, reference)
    best, worst = (
        report_cases.cases(run, result, columns, systems, against.name, reference.name)
        if reference and against
        else ([], [])
    )
    return {
        "result": result,
        "systems": systems,
        "columns": columns,
        "refused": refused,
        "reference": reference,
        "against": against,
        "compared": report_tables.compared_labels(result, systems),
        "paired": report_tables.paired_columns(result, columns),
        "best_means": report_tables.best_means(result),
        "scale": report_tables.difference_scale(result, columns),
        "directions": report_tables.shown_directions(result, columns),
        "interval_plot": report_tables.interval_plot,
        "axis": reports.axis,
        "radar": report_tables.radar_plot(result, columns, systems),
        "identities": report_tables.identity_plots(result, columns, systems),
        "cases": [("best", best), ("worst", worst)],
        "frames": report_frames.frame_figures(run, result, systems),
        "holes": report_tables.holes_of(result, systems),
        "labels": {column["name"]: column["label"] for column in result.get("columns") or []},
    }


def _against(result: Result, systems: list[SystemRow], reference: SystemRow | None) -> SystemRow | None:
    """The system that cases are looked for against: the headline's baseline, or the first other one."""
    others = [system for system in systems if system is not reference]
    compared = result.get("compare") or []
    return next((system for system in others if system.name in compared), others[0] if others else None)


def duration(seconds: float) -> str:
    """In the largest two units."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def settings_words(settings: Mapping[str, Any]) -> str:
    """What else changes a figure, on one line."""
    return "; ".join(
        f"{name} {json.dumps(value, sort_keys=True)}" for name, value in sorted(settings.items())
    )
