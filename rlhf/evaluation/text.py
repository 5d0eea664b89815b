"""A result as lines of text: the paper's ablation table in miniature, and whether its directions hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlhf.evaluation.columns import PAPER_FULL

#: How a verdict of `rlhf.evaluation.table.verdict` is said.
_SAID = {
    "yes": "holds",
    "no": "does not hold",
    "undecided": "undecided",
    "same": "no difference, as there",
}


def ablation_lines(result: Mapping[str, Any]) -> list[str]:
    """Each system's means times 100 with intervals, in the columns that the paper's ablation table has."""
    columns = [column for column in result["columns"] if column["paper"] in PAPER_FULL]
    names = {cell["system"]: cell["ablation"] for cell in result["directions"]}
    rows = [
        [
            f"{names[system]}: {facts['label']}" if system in names else facts["label"],
            *(_cell(result["table"][system][column["name"]]) for column in columns),
        ]
        for system, facts in _full_last(result)
    ]
    return aligned([["", *(column["label"] for column in columns)], *rows])


def table_lines(result: Mapping[str, Any]) -> list[str]:
    """Every column's means times 100 with intervals, one line a column and one place a system."""
    systems = list(_full_last(result))
    rows = [
        [column["label"], *(_cell(result["table"][system][column["name"]]) for system, _ in systems)]
        for column in result["columns"]
    ]
    return aligned([["", *(facts["label"] for _, facts in systems)], *rows])


def direction_lines(result: Mapping[str, Any]) -> list[str]:
    """What the full model gains on each ablated one, in points of 100, beside the paper's gain."""
    labels = {column["name"]: column["label"] for column in result["columns"]}
    rows = [
        [
            cell["ablation"],
            labels[cell["column"]],
            _gain(cell),
            f"paper {cell['paper_full'] - cell['paper_ablated']:+.2f}",
            _SAID[cell["holds"]],
        ]
        for cell in result["directions"]
    ]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, two spaces apart; no row, no line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _full_last(result: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return sorted(result["systems"].items(), key=lambda system: (system[0] == result["reference"], system[0]))


def _cell(cell: Mapping[str, Any]) -> str:
    holes = f" ({cell['holes']} missing)" if cell["holes"] else ""
    if cell["mean"] is None:
        return f"-{holes}"
    interval = "" if cell["low"] is None else f" [{100 * cell['low']:.2f}, {100 * cell['high']:.2f}]"
    return f"{100 * cell['mean']:.2f}{interval}{holes}"


def _gain(cell: Mapping[str, Any]) -> str:
    if cell["gain"] is None:
        return "-"
    if cell["gain_low"] is None:
        return f"{100 * cell['gain']:+.2f}"
    return f"{100 * cell['gain']:+.2f} [{100 * cell['gain_low']:+.2f}, {100 * cell['gain_high']:+.2f}]"
