"""How a fleet of GPU workers grows, and what it bears: the site's own code, a model that takes a set time.

PostgreSQL, Redis, an S3 server and all else of its own, on this machine only, in a folder that is removed
afterwards.
`python -m bench.fleet --workers 1 4 --videos 10` is a small one.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Sequence
from typing import Any

from bench.fleet_site import FleetSite, queue_videos, running_site, wait_until

WORKERS = (1, 4, 16, 32)
#: Videos per worker of a row, and seconds per video.
VIDEOS, SECONDS = 20, 2.0
SITE = ("worker", "beat", "postgres")


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/fleet.json` and `fleet-faults.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--videos", type=int, default=VIDEOS, help="per worker")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per video")
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(list(arguments))
    from bench.timing import report

    load: dict[str, Any] = {
        "load_average": os.getloadavg(),
        "cores": os.cpu_count(),
        "seconds_per_video": options.seconds,
    }
    with running_site(options.seconds) as site:
        load["clip_bytes"] = (site.folder / "clip.mp4").stat().st_size
        _learn_speed(site)
        rows: list[dict[str, Any]] = []
        for count in options.workers:
            rows.append(_measure(site, count, count * options.videos, rows))
            print(rows[-1], flush=True)
        if rows:
            report("fleet", rows, **load)
        if options.faults:
            from bench.fleet_faults import endure

            report("fleet-faults", [endure(site)], **load)


def _learn_speed(site: FleetSite) -> None:
    """A small run, so that later ones are split by what is known of the model."""
    site.start_workers(1)
    _, run = queue_videos("first", 4)
    send_and_wait(run, 120)
    site.stop_workers()


def _measure(site: FleetSite, workers: int, videos: int, before: list[dict[str, Any]]) -> dict[str, Any]:
    from annotate.models import Slot

    site.start_workers(workers)
    round, run = queue_videos(f"{workers} workers", videos)
    cpu, broker, storage = site.cpu_s(*SITE), _broker(site), site.storage_traffic()
    _log_statements(True)
    start = site.services["postgres"].log.stat().st_size
    began = time.monotonic()
    first = send_and_wait(run, 120 + 4 * videos, lambda: Slot.objects.filter(round=round).exists())
    spent = time.monotonic() - began
    _log_statements(False)
    cpu = site.cpu_s(*SITE) - cpu
    messages, broker_bytes = _since(broker, _broker(site))
    requests, storage_bytes = _since(storage, site.storage_traffic())
    site.stop_workers()
    rate = videos / spent
    alone = before[0]["videos_per_s"] / before[0]["workers"] if before else rate / workers
    return {
        "workers": workers,
        "videos": videos,
        "shards": run.shards.count(),
        "videos_per_s": rate,
        "efficiency": rate / (workers * alone),
        "of_ideal": rate / (workers / float(os.environ["BENCH_SECONDS_PER_VIDEO"])),
        "first_pair_s": first,
        "messages_per_video": messages / videos,
        "statements_per_video": _statements(site, start) / videos,
        "broker_bytes_per_video": broker_bytes / videos,
        "storage_requests_per_video": requests / videos,
        "storage_bytes_per_video": storage_bytes / videos,
        "site_cpu_s_per_1000": 1000 * cpu / videos,
    }


def _since(then: tuple[int, int], now: tuple[int, int]) -> tuple[int, int]:
    return now[0] - then[0], now[1] - then[1]


def send_and_wait(run: Any, patience_s: float, is_first: Any = None) -> float:
    """Send a run and wait for its end; the seconds until something first happened."""
    from annotate.jobs.tasks import send_run

    began, first = time.monotonic(), 0.0
    send_run(run)

    def is_over() -> bool:
        nonlocal first
        if is_first is not None and not first and is_first():
            first = time.monotonic() - began
        run.refresh_from_db(fields=["status", "error"])
        time.sleep(0.1)
        return not run.is_live

    wait_until(is_over, f"the end of {run}", patience_s)
    if run.status != "done":
        raise RuntimeError(f"{run} {run.status}: {run.error}")
    return first


def _broker(site: FleetSite) -> tuple[int, int]:
    """Messages that the broker was given so far, and bytes that it was sent and has sent."""
    pushed = site.broker.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]
    traffic = site.broker.info("stats")
    return pushed, traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]


def _log_statements(is_on: bool) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET log_statement = '{'all' if is_on else 'none'}'")
        cursor.execute("SELECT pg_reload_conf()")
    time.sleep(0.3)


def _statements(site: FleetSite, start: int) -> int:
    """Statements in the server's log, without this benchmark's own and the ends of transactions."""
    with site.services["postgres"].log.open("rb") as file:
        file.seek(start)
        log = file.read()
    lines = re.findall(rb"LOG:  (?:statement|execute [^:]*):\s+(.*)", log)
    ours = (b"BEGIN", b"COMMIT", b"ROLLBACK", b'SELECT "annotate_run"."id", "annotate_run"."status"')
    return sum(not line.startswith(ours) and b'1 AS "a" FROM "annotate_slot"' not in line for line in lines)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
