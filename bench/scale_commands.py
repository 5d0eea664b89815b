"""Commands and jobs on the database of `bench.scale`: seconds and peak memory, a process each."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: What leads and schedules start.
COMMANDS = {
    "recount": ("operator", "from annotate.tallies.recount import correct; correct()"),
    "fold": ("schedule", "from annotate.tallies.recount import fold; fold()"),
    "vote fit": ("schedule", "from annotate.judging.vote_fits import fit_round; fit_round(round)"),
    "figures": (
        "schedule",
        "from annotate.quality.vote_statistics import compute_round; compute_round(round)",
    ),
    "look at the pairs": (
        "job",
        "from annotate.training.queries import Looked, pair_set; "
        "Looked.at(round, pair_set(round, None, include_simulated=False)).to_json()",
    ),
    "thresholds": (
        "job",
        "from annotate.models import User; from annotate.people.filtering import apply_thresholds; "
        "apply_thresholds({'min_face_px': 100.0}, User.objects.get(username='lead'))",
    ),
    "model card": (
        "job",
        "from annotate.models import ModelVersion; from annotate.registry.model_cards import card_of; "
        "card_of(ModelVersion.objects.get(pk=2))",
    ),
    "start an evaluation": (
        "job",
        # The comparison that a lead asked for before is an evaluation of the same round.
        "from annotate.evaluation.evaluations import evaluate_version; "
        "from annotate.jobs.runs import cancel_run; from annotate.models import ModelVersion, Run; "
        "[cancel_run(run) for run in Run.objects.filter(stage='evaluate')]; "
        "evaluate_version(ModelVersion.objects.get(pk=2))",
    ),
    "next round": (
        "job",
        "from annotate.models import User; from annotate.registry.versions import start_next_round; "
        "start_next_round('next', round.policy, User.objects.get(username='lead'), new_seeds=True)",
    ),
    "queue its sampling": (
        "job",
        "from annotate.rounds.sampling import queue_sampling; queue_sampling(Round.objects.get(name='next'))",
    ),
}


def run(name: str) -> dict[str, Any]:
    """Seconds of a command's process, its start included, and the most memory that it had itself."""
    who, code = COMMANDS[name]
    begin = "import django; django.setup(); from annotate.models import Round; round = Round.objects.first()"
    end = "from bench.timing import memory_mb; print(memory_mb('VmHWM'))"
    began = time.monotonic()
    command = [sys.executable, "-c", f"{begin}\n{code}\n{end}"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    timed = {
        "who": who,
        "what": name,
        "seconds": round(time.monotonic() - began, 1),
        "peak_mb": round(float(done.stdout.splitlines()[-1])),
    }
    print(timed, file=sys.stderr, flush=True)
    return timed
