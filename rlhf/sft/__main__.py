"""Supervised fine-tuning: `python -m rlhf.sft`."""

import sys

from generator.rundir import run_command
from rlhf.sft.run import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
