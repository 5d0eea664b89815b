"""`python -m generator.prompts RUNDIR [--attached]`: differential prompts for many pairs of media."""

import sys

from generator.prompts.run import main
from generator.rundir import run_command

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
