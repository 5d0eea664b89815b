"""Numerical tests on other processors than this one: `python -m tests.matrix`, for changes of arithmetic.

Sums come out in another order, and so with other last bits, on each instruction set and number of threads.
Nine runs stand for the eighty-one combinations of

    ATEN_CPU_CAPABILITY   default, avx2, and what the machine has
    ONEDNN_MAX_CPU_ISA    SSE41, AVX2, and what the machine has
    OMP_NUM_THREADS       1, 2, 3
    order of the tests    three seeds of pytest-randomly

so that every two values of different rows of this list meet once (Taguchi's orthogonal array L9). An
instruction set that the machine lacks cannot be had by setting it: such a run is skipped, and the table says
so.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.halves import ROOT, Outcome, run_pytest

MACHINE = "machine"
ATEN = ("default", "avx2", MACHINE)
ONEDNN = ("SSE41", "AVX2", MACHINE)
THREADS = (1, 2, 3)
ORDERS = (1, 2, 3)
_NUMBERS = re.compile(
    r"import numpy|from numpy|importorskip\(\"torch|^import torch|^from torch", re.MULTILINE
)
#: What the processor must have for a value, as Linux names it.
NEEDS = {"avx2": "avx2", "AVX2": "avx2", "SSE41": "sse4_1"}


@dataclass(frozen=True)
class Row:
    """One run of the matrix."""

    aten: str
    onednn: str
    threads: int
    order: int

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the run; what the machine has is what no variable limits."""
        wanted = {"ATEN_CPU_CAPABILITY": self.aten, "ONEDNN_MAX_CPU_ISA": self.onednn}
        limits = {name: value for name, value in wanted.items() if value != MACHINE}
        return {"OMP_NUM_THREADS": str(self.threads), **limits}

    def lacks(self, flags: set[str]) -> str:
        """The instruction set that is missing for this run, or nothing."""
        needed = (NEEDS.get(value) for value in (self.aten, self.onednn))
        return next((flag for flag in needed if flag and flag not in flags), "")


def rows() -> list[Row]:
    """The nine runs: the third factor is the sum of the first two modulo 3, the fourth their difference."""
    return [
        Row(ATEN[a], ONEDNN[b], THREADS[(a + b) % 3], ORDERS[(a - b) % 3]) for a in range(3) for b in range(3)
    ]


def processor_flags() -> set[str]:
    """Instruction sets of this processor; on another system than Linux, none that must be asked for."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    return {flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()}


def numerical_files() -> list[str]:
    """Test files of numerical code: all that import torch or numpy, so that none is forgotten."""
    folders = ("generator", "rlhf", "bench")
    files = [path for folder in folders for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))]
    return [
        str(path.relative_to(ROOT)) for path in files if _NUMBERS.search(path.read_text(encoding="utf-8"))
    ]


def run_row(row: Row, flags: set[str]) -> Outcome | str:
    """What came out, or why it was not run."""
    if missing := row.lacks(flags):
        return f"skipped: this processor has no {missing}"
    arguments = [
        "-q",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
        f"--randomly-seed={row.order}",
        *numerical_files(),
    ]
    return run_pytest(arguments, row.environment)


def line(row: Row, outcome: Outcome | str) -> str:
    """A row of the table."""
    place = f"{row.aten:8} {row.onednn:8} {row.threads:7} {row.order:5}  "
    if isinstance(outcome, str):
        return place + outcome
    return f"{place}{outcome.passed:6} {len(outcome.failed):6} {outcome.seconds:7.0f}"


def main() -> int:
    """Exit status: 1 when a run failed."""
    flags, done = processor_flags(), list[tuple[Row, Outcome | str]]()
    for row in rows():
        print(f"matrix: {row}", flush=True)
        done.append((row, run_row(row, flags)))
    print("\nATen     oneDNN   threads order  passed failed seconds")
    for row, outcome in done:
        print(line(row, outcome))
    failed = [(row, outcome) for row, outcome in done if isinstance(outcome, Outcome) and outcome.code]
    for row, outcome in failed:
        print(*(f"FAILED {name} ({row})" for name in outcome.failed), sep="\n")
    passed = sum(isinstance(outcome, Outcome) for _, outcome in done) - len(failed)
    print(f"{passed} passed, {len(failed)} failed, {len(done) - passed - len(failed)} skipped")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
