"""A stage that makes a file after the other out of one that it is given, and goes on where it was stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from generator.files import replacing
from generator.rundir import RunDir, run_command


def main(run: RunDir, attached: bool) -> None:
    with run.open(attached=attached) as request:
        given = run.resolve(request["given"]).read_bytes()
        (run.path / "made").mkdir(exist_ok=True)
        for number in range(len(run.read_metrics()), request["count"]):
            with replacing(run.path / "made" / f"{number}.txt") as file:
                file.write_bytes(given + b" %d" % number)
            run.append_metrics({"number": number, "process": os.getpid()})
            time.sleep(0.1)
        run.write_result({"made": request["count"]})


def add() -> None:
    from annotate.jobs.stages import StageWork, register
    from annotate.storage.opening import site_storage

    def follow(run: Any, lines: Sequence[Mapping[str, Any]]) -> None:
        for line in lines:
            assert site_storage().exists(f"{run.folder}/made/{line['number']}.txt"), (
                "announced, and not there"
            )

    register(
        StageWork(
            name="count",
            command="tests.annotate.jobs.counting_stage",
            refusal=lambda run, request: "",
            follow=follow,
        )
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
