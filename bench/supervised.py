"""The shipped supervised model, made again: a LoRA on the shipped base, trained on data as they are found.

Everything under `var/bench/supervised/` is kept, so a training that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from bench.dpo_world import draw_questions
from bench.found_data import count_faults, write_found_data
from bench.timing import OUTPUT
from generator.adapter_files import ADAPTER_FILE
from generator.portraits.world import CHECKPOINT, SUPERVISED
from generator.rundir import RunDir
from rlhf.training.lora import sort_header

FOLDER = OUTPUT / "supervised"
#: People, questions to each, and the seed of the people: none of them is in a demo or another benchmark.
PEOPLE, EACH, SEED = 160, 4, 16
CONFIG: Mapping[str, Any] = {
    "steps": 400,
    "rank": 8,
    "alpha": 8,
    "learning_rate": 6e-4,
    "p_drop": 0.2,
    "ema_decay": 0.98,
    "save_every": 50,
    "sample_every": 0,
}


def train(folder: Path = FOLDER) -> RunDir:
    """Draw the people and the faults, and train; a finished run is left as it is."""
    folder = folder.resolve()
    questions = draw_questions(folder / "people", "train", people=PEOPLE, each=EACH, seed=SEED)
    found = write_found_data(folder / "found", questions)
    run = RunDir(folder / "sft")
    model = {"base": str(CHECKPOINT), "adapters": []}
    run.create({"stage": "sft", "model": model, "dataset": str(found), "config": dict(CONFIG)})
    if not run.is_done:
        one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "rlhf.sft", str(run.path)], check=True, env=one_core)
    return run


def ship(run: RunDir, folder: Path = SUPERVISED) -> None:
    """Write the trained LoRA in half precision."""
    with safe_open(run.path / "adapter" / ADAPTER_FILE, framework="pt") as file:
        weights = {name: file.get_tensor(name).half() for name in file.keys()}  # noqa: SIM118
        save_file(weights, folder / ADAPTER_FILE, metadata=file.metadata())
    sort_header(folder / ADAPTER_FILE)


def main() -> None:
    """Train, ship, and say what the data were."""
    run = train()
    SUPERVISED.mkdir(exist_ok=True)
    ship(run)
    facts = run.read_result()
    print(json.dumps({"faults": count_faults(PEOPLE * EACH), "last_loss": facts["last_loss"]}, indent=1))


if __name__ == "__main__":
    main()
