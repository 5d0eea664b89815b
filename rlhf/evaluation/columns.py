"""The columns of the table, in the paper's order, and what the paper's ablation table says of some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from generator.validation import Stored, record
from rlhf.records import Track


@record
class Column(Stored):
    """One figure of a video."""

    name: str = Field(description="in scores and results")
    label: str = Field(description="for people")
    metric: str = Field(description="which one of rlhf.evaluation.metrics.registry fills it")
    paper: str | None = Field(
        default=None, description="the paper's column that it stands for; None where the paper has none"
    )
    unit: Literal["share", "nats"] = Field(
        default="share",
        description="share: in [0, 1], printed times 100; nats: a log-likelihood, which stands in no table",
    )
    lower_is_better: bool = Field(default=False, description="whether it counts faults")


#: The dimensions that VBench calls quality.
VBENCH = (
    *("subject_consistency", "background_consistency", "temporal_flickering", "motion_smoothness"),
    *("dynamic_degree", "aesthetic_quality", "imaging_quality"),
)

COLUMNS = (
    Column("holi_arc", "Holi-Arc", "holi_arc", "Holi-Arc"),
    Column("holi_cur", "Holi-Cur", "holi_cur", "Holi-Cur"),
    Column("holi_sface", "Holi-SFace", "holi_sface", "Holi-Arc"),
    Column("holi_oracle", "Holi (oracle)", "oracle", "Holi-Arc"),
    Column("ele_clip", "Ele-CLIP", "elements", "Ele-CLIP"),
    Column("ele_dino", "Ele-DINO", "elements", "Ele-DINO"),
    Column("ele_oracle", "Ele (oracle)", "oracle", "Ele-DINO"),
    Column("app", "App.", "rubric", "App."),
    Column("mot", "Mot.", "rubric", "Mot."),
    Column("bg", "Bg.", "rubric", "Bg."),
    Column("app_oracle", "App. (oracle)", "oracle", "App."),
    Column("mot_oracle", "Mot. (oracle)", "oracle", "Mot."),
    Column("bg_oracle", "Bg. (oracle)", "oracle", "Bg."),
    Column("sta", "Sta.", "quality", "Sta."),
    Column("dyn", "Dyn.", "quality", "Dyn."),
    *(Column(f"vbench_{name}", f"VBench {name.replace('_', ' ')}", "vbench") for name in VBENCH),
    Column("identity", "Identity track (oracle)", "oracle"),
    Column("controllability", "Controllability track (oracle)", "oracle"),
    *(
        Column(f"{track}_nats", f"{track.capitalize()} track (oracle, nats)", "oracle", unit="nats")
        for track in Track
    ),
    *(
        Column(f"fault_{name}", label, "oracle", lower_is_better=True)
        for name, label in {
            "claim": "Fault: changes not made",
            "filter": "Fault: a filter's face",
            "stranger": "Fault: another face",
            "soft": "Fault: out of focus",
            "frozen": "Fault: no motion",
        }.items()
    ),
)

#: By what a track is compared: the first of these columns that both models have. Results from before there
#: was an open scale were compared by the second, and say so by naming none.
COMPARED_BY: Mapping[Track, tuple[str, ...]] = {track: (f"{track}_nats", str(track)) for track in Track}

#: What the paper's full model has, and what each ablation leaves of it; in points of 100.
PAPER_FULL: Mapping[str, float] = {"Holi-Arc": 73.22, "Ele-DINO": 69.50, "App.": 86.56, "Dyn.": 91.12}
PAPER_ABLATIONS: Mapping[str, Mapping[str, float]] = {
    "w/o P&D": {"Holi-Arc": 72.58, "Ele-DINO": 64.03, "App.": 80.82, "Dyn.": 89.39},
    "w/o RL": {"Holi-Arc": 72.61, "Ele-DINO": 65.96, "App.": 80.77, "Dyn.": 90.44},
    "w/o AR": {"Holi-Arc": 72.38, "Ele-DINO": 69.55, "App.": 86.19, "Dyn.": 91.11},
}


def columns_of(metric: str) -> tuple[Column, ...]:
    """The columns that a metric fills."""
    return tuple(column for column in COLUMNS if column.metric == metric)
