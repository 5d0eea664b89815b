"""Simulated annotators: `python -m rlhf.simulate`."""

import sys

from rlhf.simulate.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
