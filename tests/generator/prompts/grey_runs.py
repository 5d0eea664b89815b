"""Runs of differential prompts on plain pictures, which a server tells by their grey level."""

from __future__ import annotations

import json
from typing import Any

from generator.prompts.run import main
from generator.rundir import RunDir
from tests.generator.media.media_files import MediaMaker
from tests.generator.prompts.openai_server import KEY

#: Each picture's grey level is what the server tells it by.
GREYS = (40, 80, 120, 160)
PAIRS = [(40, 80), (40, 120), (80, 160)]
PATIENCE = {"attempts": 4, "first_wait_s": 0.5, "longest_wait_s": 60}


def make_run(make: MediaMaker, url: str, timeout_s: float = 60, **changes: Any) -> RunDir:
    run = RunDir(make.folder / "run")
    media = {f"grey-{grey}": f"../{make.photo(f'{grey}.png', grey=grey).name}" for grey in GREYS}
    (make.folder / "key").write_text(f"{KEY}\n")
    server = {"backend": "server", "base_url": url, "api_key_file": "../key", "timeout_s": timeout_s}
    request = {
        "stage": "prompts",
        "describer": {**server, "model": "sees", "price": {"prompt": 2.0, "completion": 10.0}},
        "comparer": {**server, "model": "reads", "price": {"prompt": 1.0, "completion": 1.0}},
        "patience": PATIENCE,
        "media": media,
        "pairs": [{"pair_id": f"{a}-{b}", "primary": f"grey-{a}", "target": f"grey-{b}"} for a, b in PAIRS],
    }
    run.create(request | changes)
    return run


def turn(run: RunDir) -> list[float]:
    """Run the folder; gives the waits that would have passed."""
    waits: list[float] = []
    main(run, False, waits.append)
    return waits


def missing(run: RunDir) -> dict[str, str]:
    assert not run.is_done
    rows = json.loads((run.path / "missing.json").read_text())["missing"]
    return {row["pair_id"]: row["why"] for row in rows}
