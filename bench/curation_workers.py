"""Curation through two Celery workers, one of which is killed in the middle: nothing lost, one clip repeated.

The site's own embedded services run in a folder of their own. The people are drawn, and looked at by the real
detectors, which is what takes the time; what they find does not matter here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import report
from generator.media.encoder import write_clip
from generator.portraits.people import plan_person
from generator.portraits.world import draw_identity
from generator.records import ReferenceKind

ROOT = Path(__file__).resolve().parents[1]
#: Drawn people, the pixels of their frames, and how often their 9 frames are played in a clip.
PEOPLE, SIDE, REPEATS = 3, 160, 2
#: Share of the clips after which one worker is killed.
KILL_AT = 0.3
LONGEST_S = 600


def main() -> None:
    """Without a kill, then with one; run again inside the site's services by `inside`."""
    if len(sys.argv) > 1 and sys.argv[1] == "inside":
        inside()
        return
    rows = []
    for is_killed in (False, True):
        with tempfile.TemporaryDirectory(prefix="bench-curation-") as folder:
            environment = os.environ | {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotate.settings"}
            environment |= {"OMP_NUM_THREADS": "1", "BENCH_KILL": "1" if is_killed else "0"}
            command = [sys.executable, "-m", "annotate.supervisor", "run"]
            command += [sys.executable, "-m", "bench.curation_workers", "inside"]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
    report("curation_workers", rows, people=PEOPLE, side=SIDE, frames=9 * REPEATS)
    lost = [row for row in rows if row["lost"] or row["repeated"] > row["killed"]]
    if lost:
        sys.exit(f"clips were lost or repeated: {lost}")


def inside() -> None:
    """One run in the services of this VAR_DIR; prints its row as JSON."""
    import django

    django.setup()
    from django.core.management import call_command

    from annotate.models import Reference
    from annotate.people.identities import import_people
    from annotate.people.tasks import send_curations

    folder = Path(os.environ["VAR_DIR"])
    write_people(folder / "people")
    call_command("migrate", interactive=False, verbosity=0)
    import_people(folder / "people", source="bench")
    log, killed = folder / "worker.log", 0
    workers = [start("worker", name, log) for name in ("one", "two")] + [start("beat", "beat", log)]
    try:
        while log.read_text().count("ready.") < 2:
            time.sleep(0.5)  # Their start is no part of the measurement.
        started = time.monotonic()
        ids = list(Reference.objects.values_list("pk", flat=True))
        send_curations(ids)
        while time.monotonic() - started < LONGEST_S:
            states = Counter(Reference.objects.values_list("curation", flat=True))
            if not states["pending"] and not states["running"]:
                break
            if os.environ["BENCH_KILL"] == "1" and not killed and states["done"] >= KILL_AT * len(ids):
                os.killpg(workers[0].pid, signal.SIGKILL)
                killed = 1
            time.sleep(0.5)
        wall_s = time.monotonic() - started
    finally:
        for worker in workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    print(json.dumps(row(len(ids), killed, wall_s, states, log)))


def row(count: int, killed: int, wall_s: float, states: Counter[str], log: Path) -> dict[str, Any]:
    """How often each clip was begun is read off the workers' logs."""
    begun = Counter(
        line.split("begins reference ")[1]
        for line in log.read_text().splitlines()
        if "begins reference " in line
    )
    return {
        "workers": 2,
        "killed": killed,
        "clips": count,
        "done": states["done"],
        "failed": states["failed"],
        "lost": count - states["done"],
        "repeated": sum(times - 1 for times in begun.values()),
        "wall_s": round(wall_s, 1),
        "clips_per_minute": round(60 * count / wall_s, 1),
    }


def write_people(folder: Path) -> None:
    """Drawn people without a card, so that the detectors have to look; clips of several motions each."""
    for seed in range(PEOPLE):
        person = folder / f"person-{seed}"
        person.mkdir(parents=True)
        clips = [item for item in plan_person(seed) if item.kind is ReferenceKind.CLIP]
        for number, item in enumerate(clips):
            frames = item.render(draw_identity(seed), size=SIDE)
            write_clip(person / f"{number}.mp4", np.tile(frames, (REPEATS, 1, 1, 1)), 8)


def start(program: str, name: str, log: Path) -> subprocess.Popen[bytes]:
    """A worker of one process, or beat, in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "--app",
        "annotate.celery",
        program,
        "--loglevel",
        "INFO",
    ]
    if program == "worker":
        command += ["--queues", "default", "--hostname", f"{name}@%h", "--concurrency", "1"]
    else:
        command += ["--pidfile="]
    with open(log, "ab") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)


if __name__ == "__main__":
    main()
