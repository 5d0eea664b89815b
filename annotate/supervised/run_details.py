"""What the page of an SFT run shows: curves by time, clips, settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from annotate.jobs.queries import dpo_curves
from annotate.models import Instance, Run
from annotate.training.preview import run_config
from annotate.training.run_curves import Plots, plots_of
from annotate.training.run_details import training_details

PLOTS: Plots = {
    "Loss": ({"loss": "loss"}, None),
    "Loss by quarter of the time": (
        {
            "cleanest": "loss/time_1",
            "second": "loss/time_2",
            "third": "loss/time_3",
            "noisiest": "loss/time_4",
        },
        None,
    ),
    "Gradient norm, before clipping": ({"norm": "grad_norm"}, None),
}


def sft_details(run: Run) -> dict[str, Any]:
    plots = plots_of(PLOTS, dpo_curves(run))
    is_outside = run.training_set is not None and run.training_set.is_outside
    return training_details(run, run_config(run), plots, _name_only if is_outside else _tell)


def _tell(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Of people here, clips are named by instances."""
    instances = Instance.objects.filter(pk__in=names).select_related("group", "prompt")
    return {
        str(one.pk): (str(one), one.group.name, one.prompt.text or "Nothing changes.")
        for one in instances.order_by("pk")
    }


def _name_only(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    return {name: (f"instance {name}", name, "of the folder") for name in sorted(names)}
