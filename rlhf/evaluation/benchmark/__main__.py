"""Benchmark sets: `python -m rlhf.evaluation.benchmark`."""

import sys

from rlhf.evaluation.benchmark.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
