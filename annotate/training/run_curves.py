"""What the live page of a DPO run plots, by the names that the trainer gives its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from rlhf.plots.pages import Plot, plot

Row = Mapping[str, float]

QUARTERS = {1: "cleanest", 2: "second", 3: "third", 4: "noisiest"}

#: Title -> (label -> figure, a value that means something).
Plots = Mapping[str, tuple[Mapping[str, str], float | None]]

PLOTS: Plots = {
    "Loss (ln 2 where nothing moved)": ({"trained on": "loss", "held out": "held_out/loss"}, log(2)),
    "Share of pairs with a positive margin": (
        {"trained on": "rewards/accuracies", "held out": "held_out/rewards/accuracies"},
        0.5,
    ),
    "Margin of the rewards, chosen minus rejected": (
        {"trained on": "rewards/margins", "held out": "held_out/rewards/margins"},
        0.0,
    ),
    "Drift of the error from the parent's (chosen above 0 is worse)": (
        {"chosen": "drift/chosen", "rejected": "drift/rejected"},
        0.0,
    ),
    "The same on held-out people": (
        {"chosen": "held_out/drift/chosen", "rejected": "held_out/drift/rejected"},
        0.0,
    ),
    "Guard: share of the rejected gradient that is kept": ({"guard": "guard/scale"}, 1.0),
    "Saturation (1/2 at first; near 1 nothing more is learnt)": ({"saturation": "saturation"}, 0.5),
    "Gradient norm, before clipping": ({"norm": "grad_norm"}, None),
    "Drift without any condition, which guidance amplifies": ({"drift": "drift/empty"}, 0.0),
}

BY_TIME = {
    "Chosen drift by quarter of the time": "drift/chosen",
    "Rejected drift by quarter of the time": "drift/rejected",
    "Margin by quarter of the time": "rewards/margins",
    "Positive margins by quarter of the time": "rewards/accuracies",
}


def run_plots(rows: Sequence[Row]) -> list[Plot]:
    return plots_of(PLOTS, rows)


def plots_of(plots: Plots, rows: Sequence[Row]) -> list[Plot]:
    """Plots over the steps; those without any figure are left out."""
    drawn = [
        plot(title, {label: _points(rows, name) for label, name in lines.items()}, level=level)
        for title, (lines, level) in plots.items()
    ]
    return [curve for curve in drawn if curve.svg]


def plots_by_time(rows: Sequence[Row]) -> list[Plot]:
    """The same figures in each quarter of the drawn times: trouble starts at one end of them."""
    plots = [
        plot(
            title,
            {label: _points(rows, f"{name}/quartile_{number}") for number, label in QUARTERS.items()},
            level=0.5 if name.endswith("accuracies") else 0.0,
        )
        for title, name in BY_TIME.items()
    ]
    return [drawn for drawn in plots if drawn.svg]


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if name in row]
