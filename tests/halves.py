"""Every test: `python -m tests.halves`. Both halves run whatever the first one says; red if either is.
With `--fast`, only the tests without browser and training.

Three processes share out the files, since tests often wait. Each has a PostgreSQL and folders of its own, and
in the second half its own Chromium.
What measures how Chromium plays in real time comes last, alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
#: Where tests write: memory, if it has so much room, since what they write is thrown away at once.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 6 * 2**30
#: Options of pytest and the environment that each half adds to this one's.
HALVES: dict[str, tuple[list[str], dict[str, str]]] = {
    "without a browser": (
        ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--ignore", "tests/browser"],
        {"OMP_NUM_THREADS": "1"},
    ),
    "in the browser": (["-n", "3", "--dist", "loadfile", "-m", "not realtime", "tests/browser"], {}),
    "in real time": (["-m", "realtime", "tests/browser"], {}),
}
FAST: dict[str, tuple[list[str], dict[str, str]]] = {
    "fast": (["-n", "3", "--dist", "loadfile", "--fast"], {"OMP_NUM_THREADS": "1"}),
}
#: Exit statuses of pytest that are no verdict: nothing was collected, or it was interrupted.
NO_TESTS, INTERRUPTED = 5, 2


@dataclass(frozen=True)
class Outcome:
    """What one run of pytest ended with.

    Attributes:
        code: its exit status.
        seconds: that it took.
        passed: tests.
        skipped: tests.
        failed: names of tests that failed, or whose set-up did.
    """

    code: int
    seconds: float
    passed: int
    skipped: int
    failed: tuple[str, ...]


def run_pytest(arguments: list[str], environment: dict[str, str]) -> Outcome:
    """One run of pytest in a process of its own, which prints as it goes."""
    with tempfile.TemporaryDirectory(dir=roomy_folder()) as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", "--durations=20", *arguments]
        # Bytecode of the tests is kept, so that three processes do not rewrite each file's assertions anew.
        of_pytest = {"PYTEST_DEBUG_TEMPROOT": folder, "PYTHONDONTWRITEBYTECODE": ""}
        code = subprocess.run(
            command, cwd=ROOT, env=os.environ | of_pytest | environment, check=False
        ).returncode
        seconds = time.monotonic() - began
        return outcome_of(report, code, seconds)


def roomy_folder() -> Path | None:
    """Memory, or None, for where temporary files usually are."""
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    return MEMORY if is_roomy and os.access(MEMORY, os.W_OK) else None


def outcome_of(report: Path, code: int, seconds: float) -> Outcome:
    """Read what pytest reported; one that ended without a report is named by its exit status."""
    if not report.is_file():
        return Outcome(code, seconds, 0, 0, (f"pytest ended with exit status {code} and no report",))
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        name_of(case) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    unique = tuple(dict.fromkeys(failed))
    return Outcome(code, seconds, len(cases) - len(failed) - skipped, skipped, unique)


def name_of(case: ElementTree.Element) -> str:
    """A test's name as pytest takes it on its command line, as far as its file."""
    place = case.get("classname", "").replace(".", "/")
    return f"{place}.py::{case.get('name')}"


def summary(outcomes: dict[str, Outcome]) -> str:
    """The closing lines: failures of all halves by name, seconds, and the count in one line."""
    lines = ["", "make test"]
    for half, outcome in outcomes.items():
        lines += [
            f"  {half}: {outcome.passed} passed, {len(outcome.failed)} failed in {outcome.seconds:.0f} s"
        ]
        lines += [f"    FAILED {name}" for name in outcome.failed]
        if outcome.code and not outcome.failed:
            lines += [f"    ended with exit status {outcome.code}"]
    passed, failed, skipped = (
        sum(outcome.passed for outcome in outcomes.values()),
        sum(len(outcome.failed) for outcome in outcomes.values()),
        sum(outcome.skipped for outcome in outcomes.values()),
    )
    return "\n".join([*lines, f"{passed} passed, {failed} failed, {skipped} skipped"])


def main(arguments: list[str]) -> int:
    """Exit status: 0 when both halves passed, else the first one's that did not."""
    parser = argparse.ArgumentParser(prog="tests.halves", description="Run every test, in halves.")
    parser.add_argument("--fast", action="store_true", help="only those without browser and training")
    is_fast = parser.parse_args(arguments).fast
    outcomes: dict[str, Outcome] = {}
    for half, (options, environment) in (FAST if is_fast else HALVES).items():
        outcomes[half] = run_pytest(options, environment)
        if outcomes[half].code == INTERRUPTED and not outcomes[half].failed:
            break
    print(summary(outcomes), flush=True)
    return next((outcome.code for outcome in outcomes.values() if outcome.code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
