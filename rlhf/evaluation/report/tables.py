"""What the report's tables hold, shaped from a run's result; numbers stay as they are there, in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from generator.adapter_files import adapters_in
from rlhf.evaluation.records import NOT_ASKED
from rlhf.plots import reports
from rlhf.plots.marks import Scale, scale_of

Result = Mapping[str, Any]
#: Of the report in a run folder.
REPORT_FILE = "report.html"
#: Beside it, see `rlhf.evaluation.report.sheet`.
SHEET_FILE = "sheet.jpg"


@dataclass(frozen=True)
class SystemRow:
    """One system as people read of it."""

    name: str  # in the result
    label: str  # for people
    colour: int  # its number, see `plots`
    source: str  # the model, or where its videos came from
    inputs: str  # what it was shown
    is_reference: bool  # whether the differences are taken against it

    @property
    def swatch(self) -> Markup:
        """Its mark in a legend."""
        return reports.swatch(self.colour)


@dataclass(frozen=True)
class Hole:
    """Why some values are missing."""

    system: str  # its label
    columns: tuple[str, ...]  # their labels
    why: str  # in words
    videos: tuple[str, ...]  # `<instance_id>-<seed>` of each

    @property
    def is_failure(self) -> bool:
        """Whether a value was asked for."""
        return not self.why.startswith(NOT_ASKED)


def points(value: float | None, decimals: int = 2) -> str:
    """A share of 1 as points of 100."""
    return "–" if value is None else f"{100 * value:.{decimals}f}".replace("-", "−")


def signed(value: float | None) -> str:
    """A difference as points of 100, with its sign."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def system_rows(result: Result) -> list[SystemRow]:
    """The systems in the table's order; a result from before there were systems has its two models.

    The order is that of the videos: a database does not keep the order of names.
    """
    systems = result.get("systems") or {name: {} for name in ("baseline", "candidate")}
    order = list(dict.fromkeys([video["system"] for video in result.get("videos") or []] + list(systems)))
    reference = reference_system(result)
    colours = [number % reports.COLOURS for number in range(len(order))]
    if reference in order and len(order) > 1:  # has the accent
        position = order.index(reference)
        colours[position], colours[1] = colours[1], colours[position]
    return [
        SystemRow(
            name,
            systems[name].get("label") or name.replace("_", " "),
            colour,
            _source(systems[name]),
            _inputs(systems[name]),
            name == reference,
        )
        for name, colour in zip(order, colours, strict=True)
    ]


def reference_system(result: Result) -> str | None:
    """The system that the differences are taken against."""
    return result.get("reference") if result.get("differences") else None


def compared_labels(result: Result, systems: Iterable[SystemRow]) -> tuple[str, str]:
    """Of the two systems whose win rates are the headline, the baseline first."""
    labels = {system.name: system.label for system in systems}
    baseline, candidate = result.get("compare") or ("baseline", "candidate")
    return labels.get(baseline, baseline), labels.get(candidate, candidate)


def _source(system: Mapping[str, Any]) -> str:
    if "videos" in system:
        return f"videos made elsewhere ({PurePath(system['videos']).name})"
    model = system.get("model")
    if not model:
        return "not recorded"
    # An adapter lies in the folder of the run that trained it, and is named by that.
    adapters = [_adapter(path, weight) for path, weight in adapters_in(model)]
    return " + ".join([PurePath(model["base"]).name, *adapters])


def _adapter(path: str, weight: float) -> str:
    name = "/".join(PurePath(path).parts[-3:])
    return name if weight == 1 else f"{weight:g} x {name}"


def _inputs(system: Mapping[str, Any]) -> str:
    if "videos" in system:
        return "as their maker chose"
    shown = system.get("references")
    references = {None: "all references", 1: "the primary alone"}.get(shown, f"{shown} references")
    return f"{references}, {system.get('prompts') or 'differential'} prompt"


def shown_columns(result: Result) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The columns that may stand in one table, and why the others may not.

    Returns:
        Columns in the result's order, and a reason by label: metrics that rest on different facts fill them.
    """
    fills: dict[str, dict[str, str]] = {}
    for facts in result.get("metrics") or []:
        for column in facts["columns"]:
            fills.setdefault(column, {})[facts["sha256"]] = f"{facts['metric']} by {facts['model']}"
    columns = result.get("columns") or []
    refused = {
        column["label"]: ", ".join(fills[column["name"]].values())
        for column in columns
        if len(fills.get(column["name"], {})) > 1
    }
    return [column for column in columns if column["label"] not in refused], refused


def shown_directions(result: Result, columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cells of the ablation table that rest on columns that are shown, with their labels."""
    labels = {column["name"]: column["label"] for column in columns}
    cells = result.get("directions") or []
    return [{**cell, "label": labels[cell["column"]]} for cell in cells if cell["column"] in labels]


def best_means(result: Result) -> dict[str, float]:
    """The best mean of each column: the highest, or the lowest where faults are counted."""
    columns = result.get("columns") or []
    counts_faults = {column["name"] for column in columns if column.get("lower_is_better")}
    means: dict[str, list[float]] = {}
    for cells in (result.get("table") or {}).values():
        for column, cell in cells.items():
            if cell.get("mean") is not None:
                means.setdefault(column, []).append(cell["mean"])
    return {
        column: (min if column in counts_faults else max)(values)
        for column, values in means.items()
        if len(values) > 1
    }


def difference_scale(result: Result, columns: Sequence[Mapping[str, Any]]) -> Scale:
    """An axis in points that holds 0 and every interval."""
    names = {column["name"] for column in columns}
    ends = [
        100 * cell[name]
        for cells in (result.get("differences") or {}).values()
        for column, cell in cells.items()
        for name in ("gain", "gain_low", "gain_high")
        if column in names and cell.get(name) is not None
    ]
    return scale_of([0.0, *ends])


def interval_plot(cell: Mapping[str, Any], title: str, scale: Scale) -> Markup:
    """One difference on that axis; only the line of no difference where there is none."""
    gain, low, high = (
        None if cell.get(name) is None else 100 * cell[name] for name in ("gain", "gain_low", "gain_high")
    )
    return reports.interval(title, gain, low, high, scale)


def holes_of(result: Result, systems: Iterable[SystemRow]) -> list[Hole]:
    """Holes with system and reason in common as one: failures first, then what was not asked for."""
    labels = {system.name: system.label for system in systems}
    columns = {column["name"]: column["label"] for column in result.get("columns") or []}
    videos: dict[tuple[str, str], dict[str, None]] = {}
    filled: dict[tuple[str, str], dict[str, None]] = {}
    for video in result.get("videos") or []:
        for column in (name for name in columns if name in video["holes"]):
            key = labels.get(video["system"], video["system"]), video["holes"][column]
            videos.setdefault(key, {})[f"{video['instance_id']}-{video['seed']}"] = None
            filled.setdefault(key, {})[columns[column]] = None
    holes = [Hole(key[0], tuple(filled[key]), key[1], tuple(names)) for key, names in videos.items()]
    return sorted(holes, key=lambda hole: not hole.is_failure)


def paired_columns(result: Result, columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those in which the reference system can be held against another."""
    differences = (result.get("differences") or {}).values()
    return [
        column
        for column in columns
        if any(cells.get(column["name"], {}).get("gain") is not None for cells in differences)
    ]


def radar_plot(
    result: Result, columns: Sequence[Mapping[str, Any]], systems: Sequence[SystemRow]
) -> Markup | None:
    """The means of the columns that the paper has too; None with fewer than three."""
    table = result.get("table") or {}
    drawn = [
        column
        for column in columns
        if column.get("paper") and any(_mean(table, system, column) is not None for system in systems)
    ]
    if len(drawn) < 3:
        return None
    return reports.radar(
        "Mean of every column, by system: " + ", ".join(system.label for system in systems),
        [column["label"] for column in drawn],
        [(system.colour, [_mean(table, system, column) for column in drawn]) for system in systems],
    )


def _mean(table: Mapping[str, Any], system: SystemRow, column: Mapping[str, Any]) -> float | None:
    mean = table.get(system.name, {}).get(column["name"], {}).get("mean")
    return None if mean is None else 100 * mean


def identity_plots(
    result: Result, columns: Sequence[Mapping[str, Any]], systems: Sequence[SystemRow]
) -> list[tuple[str, Markup]]:
    """For each column with values, every person's mean by system."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for video in result.get("videos") or []:
        for column, value in video["values"].items():
            values.setdefault((column, video["identity"], video["system"]), []).append(100 * value)
    people = sorted({video["identity"] for video in result.get("videos") or []})
    means = {key: sum(scores) / len(scores) for key, scores in values.items()}

    def of_system(system: SystemRow, column: str) -> reports.Values:
        return system.colour, [means.get((column, person, system.name)) for person in people]

    return [
        (
            column["label"],
            reports.dots(
                f"{column['label']}: mean of each person's videos, by system",
                people,
                [of_system(system, column["name"]) for system in systems],
            ),
        )
        for column in columns
        if any(key[0] == column["name"] for key in means)
    ]


def fault_rates(result: Result) -> dict[str, dict[str, float]]:
    """How often the compared models show each planted fault, by column.

    Returns:
        `label`, `before` and `after`, and `gain` with its interval, in shares; of columns that both have.
    """
    baseline, candidate = result.get("compare") or (None, None)
    gained = (result.get("differences") or {}).get(baseline, {})
    rates = {}
    for column in result.get("columns") or []:
        name = column["name"]
        if column.get("lower_is_better") and gained.get(name, {}).get("gain") is not None:
            before, after = (result["table"][system][name]["mean"] for system in (baseline, candidate))
            difference = {key: gained[name][key] for key in ("gain", "gain_low", "gain_high")}
            rates[name] = {"label": column["label"], "before": before, "after": after, **difference}
    return rates
