"""A stage whose command goes on until it is stopped, in as many processes as it is started in."""

from __future__ import annotations

import os
import sys
import time

from generator.rundir import RunDir, end_with_parent, run_command


def main(run: RunDir, attached: bool) -> None:
    if os.environ["RANK"] == "0":
        with run.open(attached=attached):
            run.append_metrics({"step": 1})
            time.sleep(600)
    end_with_parent()
    time.sleep(600)


def add() -> None:
    from annotate.jobs.stages import StageWork, register

    register(
        StageWork(name="spread", command="tests.annotate.jobs.spread_stage", refusal=lambda run, folder: "")
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
