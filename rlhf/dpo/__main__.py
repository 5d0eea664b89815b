"""Flow-DPO on an export: `python -m rlhf.dpo`."""

import sys

from generator.rundir import run_command
from rlhf.dpo.run import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
