"""A stand-in for `generator.resident`: each video takes a set time, and no torch is loaded."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

from generator.parts import serve
from generator.rundir import RunDir

#: Seconds per video, and a clip whose bytes every video has, with its own number behind them.
SECONDS, CLIP = "BENCH_SECONDS_PER_VIDEO", "BENCH_CLIP"


def make(run: RunDir) -> None:
    seconds, clip = float(os.environ[SECONDS]), Path(os.environ[CLIP]).read_bytes()
    request = run.read_request()
    for number, item in enumerate(request["samples"], start=1):
        time.sleep(seconds)
        for folder in ("samples", "shown"):
            place = run.path / folder / f"{item['sample_id']}.mp4"
            place.parent.mkdir(exist_ok=True)
            name = item["sample_id"].encode()
            place.write_bytes(clip + struct.pack(">I4s", 8 + len(name), b"free") + name)
        line = {"sample_id": item["sample_id"], "seconds": seconds, "done": number}
        run.append_metrics({**line, "total": len(request["samples"])})
    run.write_result({"samples": [], "failed": []})


if __name__ == "__main__":
    sys.exit(serve(make))
