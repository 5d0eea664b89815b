"""GPU workers of this machine: `python -m annotate.fleet [--devices all|0,1,5]`.

One process for each device takes shards, and one for all of them whole runs; each is started again by itself
when it ends. They need CELERY_BROKER_URL, STORAGE_URL and FLEET_KEY, and no database.
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

#: How long a worker may take to hand its shard back, or its run, whose last checkpoint may be large.
GRACE_S, RUN_GRACE_S = 25.0, 60.0
#: What `--serve` names where it names no device.
RUNS = "runs"


class Stop(BaseException):
    """Somebody asked the program to end."""


def main(arguments: list[str]) -> int:
    """Start the workers and keep them running, or be one of them."""
    parser = argparse.ArgumentParser(prog="python -m annotate.fleet", description=__doc__)
    parser.add_argument("--devices", default="all", help="all, or numbers such as 0,1,5 (default: all)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        devices = chosen_devices(options.devices, settings.CPU_DEVICES)
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.serve is not None:
        from annotate.fleet.app import serve, serve_runs

        if options.serve == RUNS:
            serve_runs(devices)
        else:
            serve(next(device for device in devices if device.label == options.serve))
        return 0
    commands, folder = [*map(command, devices), run_command(devices)], settings.VAR_DIR / "fleet"
    stop_leftovers(folder, commands)
    _keep_running([Child(one, folder) for one in commands])
    return 0


def command(device: Device) -> Command:
    """A worker for one device, which is the only one that it sees."""
    return Command(f"gpu-{device.label}", _argv([device], device.label), patience_s=GRACE_S)


def run_command(devices: list[Device]) -> Command:
    """The worker for whole runs, which sees all devices that were chosen."""
    return Command(RUNS, _argv(devices, RUNS), patience_s=RUN_GRACE_S)


def _argv(devices: list[Device], serve: str) -> list[str]:
    numbers = ",".join(str(device.number) for device in devices if device.number is not None)
    argv = [sys.executable, "-m", "annotate.fleet", "--devices", numbers or "all", "--serve", serve]
    return ["env", f"CUDA_VISIBLE_DEVICES={numbers}", *argv] if numbers else argv


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
