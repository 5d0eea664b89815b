"""The report of an evaluation, written again: `python -m rlhf.evaluation.report`."""

import sys

from generator.rundir import run_command
from rlhf.evaluation.report.page import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
