"""GPU workers of this machine: `python -m annotate.fleet [--devices all|0,1,5]`.

One process for each device; each is started again by itself when it ends. They need CELERY_BROKER_URL,
STORAGE_URL and FLEET_KEY, and no database.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from types import FrameType

from annotate import settings
from annotate.fleet.devices import Device, DeviceError, chosen_devices
from annotate.supervisor.processes import Child, Command, say, stop_leftovers

#: How long a worker may take to hand its shard back.
GRACE_S = 25.0


class Stop(BaseException):
    """Somebody asked the program to end."""


def main(arguments: list[str]) -> int:
    """Start the workers and keep them running, or be one of them."""
    parser = argparse.ArgumentParser(prog="python -m annotate.fleet", description=__doc__)
    parser.add_argument("--devices", default="all", help="all, or numbers such as 0,1,5 (default: all)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        devices = chosen_devices(options.devices)
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.serve is not None:
        from annotate.fleet.app import serve

        serve(next(device for device in devices if device.label == options.serve))
        return 0
    commands, folder = [command(device) for device in devices], settings.VAR_DIR / "fleet"
    stop_leftovers(folder, commands)
    _keep_running([Child(one, folder) for one in commands])
    return 0


def command(device: Device, program: str = "annotate.fleet") -> Command:
    """A worker for one device, which is the only one that it sees."""
    chosen = "all" if device.number is None else str(device.number)
    argv = [sys.executable, "-m", program, "--devices", chosen, "--serve", device.label]
    if device.number is not None:
        argv = ["env", f"CUDA_VISIBLE_DEVICES={device.number}", *argv]
    return Command(f"gpu-{device.label}", argv, patience_s=GRACE_S)


def _keep_running(children: list[Child]) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while True:
            for child in children:
                if news := child.keep_alive():
                    say("fleet", news)
            time.sleep(0.2)
    except Stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
