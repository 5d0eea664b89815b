"""What it saves that a worker keeps its model loaded: a shard after another, against a load for each.

The shipped model on this machine, by the worker's own code, without a site. Both take turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES, ROUNDS = (2, 10, 50), 2


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/resident.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.resident", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="videos per shard")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(list(arguments))
    from bench.timing import report

    report("resident", [_measure(size, options.rounds) for size in options.sizes])


def _measure(size: int, rounds: int) -> dict[str, Any]:
    from bench.timing import median_interval, take_turns

    folder = Path(tempfile.mkdtemp(prefix="resident-"))
    kept, fresh = _Bench(folder / "kept", size), _Bench(folder / "fresh", size)
    try:
        ours, theirs = take_turns(kept.work, lambda: fresh.work(lets_go=True), rounds)
    finally:
        for one in (kept, fresh):
            one.worker.resident.let_go()
        shutil.rmtree(folder)
    per_video = [[seconds / size for seconds in times] for times in (ours, theirs)]
    return {
        "videos_per_shard": size,
        "kept_s_per_video": sum(per_video[0]) / rounds,
        "loaded_s_per_video": sum(per_video[1]) / rounds,
        "ratio": median_interval([b / a for a, b in zip(*per_video, strict=True)]),
    }


class _Bench:
    """A worker and a storage with one run, whose shard it does again and again."""

    def __init__(self, folder: Path, size: int) -> None:
        from annotate import settings
        from annotate.fleet.resident import Resident
        from annotate.fleet.work import Worker
        from annotate.storage.address import FolderAddress
        from annotate.storage.folder import FolderStorage
        from generator.media.photo import write_photo
        from generator.records import SamplerSettings

        self.size, self.storage = size, FolderStorage(FolderAddress(folder / "storage"))
        self.run = self.storage.root / "runs" / "run"
        self.run.mkdir(parents=True)
        import numpy as np

        write_photo(self.storage.root / "face.png", np.full((64, 64, 3), 127, np.uint8))
        samples = [
            {
                "sample_id": str(number),
                "seed": number,
                "prompt": "The background changes.",
                "references": [{"path": "../../face.png", "kind": "photo"}],
            }
            for number in range(size)
        ]
        request = {
            "model": {"base": settings.MODEL_PATH, "adapters": []},
            "settings": vars(SamplerSettings()),
            "samples": samples,
        }
        (self.run / "request.json").write_text(json.dumps(request))
        self.worker = Worker(
            name="bench",
            device="this machine",
            storage=self.storage,
            folder=folder / "worker",
            resident=Resident(settings.BASE_DIR, settings.RUN_ENVIRONMENT),
            report=lambda report: True,
        )

    def work(self, *, lets_go: bool = False) -> None:
        from annotate.fleet.messages import ShardMessage
        from annotate.fleet.software import software_version

        for name in ("samples", "shown"):
            shutil.rmtree(self.run / name, ignore_errors=True)
        message = ShardMessage(
            shard=1,
            number=1,
            ticket="",
            folder="runs/run",
            start=0,
            stop=self.size,
            parts="generator.resident",
            software=software_version(),
        )
        if fault := self.worker.work(message):
            raise RuntimeError(fault.line)
        if lets_go:
            self.worker.resident.let_go()


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
