"""A stage that nobody ships: this file is all of it, command and table entry."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from generator.rundir import RunDir, run_command

#: What `follow` and `finish` were given.
stored: list[Any] = []


def main(run: RunDir, attached: bool) -> None:
    with run.open(attached=attached) as request:
        run.append_metrics({"done": 1, "total": 1})
        run.write_result({"echo": request["word"]})


def add() -> None:
    from annotate.jobs.stages import StageWork, register

    def follow(run: Any, lines: Sequence[Mapping[str, Any]]) -> None:
        stored.extend(line["done"] for line in lines)

    def finish(run: Any, result: dict[str, Any]) -> None:
        stored.append(result["echo"])

    register(
        StageWork(
            name="echo",
            command="tests.annotate.jobs.added_stage",
            refusal=lambda run, request: "nobody agreed" if request["word"] == "no" else "",
            follow=follow,
            finish=finish,
            details=lambda run: {"shown": []},
        )
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
