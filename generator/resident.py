"""Make the videos of one run folder after another, with one model: `python -m generator.resident`.

Each line of standard input names a run folder of `generator.sample`; `done` on standard output answers it.
All of them name the same model. Whatever fails ends the process, which says why in its last line of standard
error. It ends at once when its input closes, since then nobody watches it any more.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from generator.rundir import RunDir, RunError

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


def serve(make: Callable[[RunDir], None]) -> int:
    """Hand each folder to `make`, and say when it is done.

    Args:
        make: does what the folder asks for.

    Returns:
        Exit status, once something has failed.
    """
    # What libraries print belongs into the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for folder in _folders():
        try:
            make(RunDir(folder))
        except (RunError, ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        print("done", file=answers, flush=True)
    return 0


def _folders() -> Iterator[str]:
    """The lines of standard input. A thread reads them, since the input also closes while a video is made."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with os.fdopen(os.dup(0)) as file:
            for line in file:
                lines.put(line.rstrip("\n"))
        os._exit(143)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


def main() -> int:
    """Make videos with one model, which the first folder that needs it loads."""
    from generator import sample

    pipeline: AnyIDPipeline | None = None

    def make(run: RunDir) -> None:
        request = run.read_request()

        def load() -> AnyIDPipeline:
            nonlocal pipeline
            pipeline = pipeline or sample.load_model(run, request["model"])
            return pipeline

        sample.make(run, request, load)

    return serve(make)


if __name__ == "__main__":
    sys.exit(main())
