"""A worker of `python -m annotate.fleet` whose model is a stand-in: `python -m bench.fleet_worker NUMBER`.

With `--skew S` its clock is wrong by S seconds, with `--software V` it is of another version.
"""

from __future__ import annotations

import argparse
import sys
import time


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet_worker", description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--software")
    options = parser.parse_args(arguments)
    honest = time.time
    time.time = lambda: honest() + options.skew
    from annotate.fleet import app, work
    from annotate.fleet.devices import Device

    app.PAUSE_S = 2.0
    if options.software:
        work.software_version = lambda: options.software
    app.serve(Device(options.number, "stand-in"), stand_in="bench.fleet_sampler")


if __name__ == "__main__":
    main(sys.argv[1:])
