"""A million judgments as a file, and sets of preference pairs: rows per second, and the peak memory.

The files are written by the site's own Celery worker, the sets by `export_pairs`. The embedded services
run in a folder of their own, which is removed afterwards; the rows are made by SQL, and the media are tiny.
`python -m bench.export --rows 60000 --pairs 1000` is a small one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pyarrow.parquet as pq

from bench.curation_workers import ROOT, start
from bench.preference_rows import fill_dominant
from bench.timing import report
from bench.web_rows import TRACKS, VOTES_PER_TRACK, fill_round

if TYPE_CHECKING:
    from annotate.models import JudgmentFile

ROWS = 1_000_000
#: A tenth of them is a set of its own, so that the two tell whether memory grows.
PAIRS = 100_000
MAX_GROWTH = 1.1
MAX_MB = 300
LONGEST_S = 1800
#: People who judge; each pair is seen by six of them, three on a track.
ANNOTATORS = 60
SLOTS_PER_PAIR = len(TRACKS) * VOTES_PER_TRACK
#: As much as the judging page reports of a pair, some 400 characters.
EVIDENCE = {
    "active_ms": 8123,
    "played_ms": {"left": 4100, "right": 3900},
    "coverage": {"left": 1.0, "right": 1.0, "references": [1.0, 0.5, 1.0]},
    "shown": {"left": [[0, 8]], "right": [[0, 8]], "references": [[[0, 10]], [[0, 5]], [[0, 10]]]},
    "p95_drift_ms": 3.1,
    "max_drift_ms": 7.9,
    "speed": 1.0,
    "viewport": [1440, 900],
    "input": "keys",
    "guideline_version": "0f3c9a1b",
}


def main(arguments: Sequence[str] = ()) -> None:
    """Measure both formats and two sets; exits with an error above `MAX_MB` or where rows are missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="judgments; 0 leaves their files out")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of the larger set; 0 leaves the sets out")
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory(prefix="bench-export-") as folder:
        environment = os.environ | {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotate.settings"}
        environment |= {"OMP_NUM_THREADS": "1", "BENCH_ROWS": str(options.rows)}
        environment["BENCH_PAIRS"] = str(options.pairs)
        command = [sys.executable, "-m", "annotate.supervisor", "run", sys.executable, "-m", "bench.export"]
        done = subprocess.run(
            [*command, "inside"], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    rows = json.loads(done.stdout.strip().splitlines()[-1])
    report("export", rows, load_average=os.getloadavg(), cores=os.cpu_count())
    if any(row["missing"] for row in rows):
        sys.exit("rows are missing")
    sets = [row["peak_mb"] for row in rows if row["format"] == "set"]
    if sets and sets[-1] > MAX_GROWTH * sets[0]:
        sys.exit(
            f"ten times the pairs took {sets[-1] / sets[0]:.2f} times the memory; {MAX_GROWTH} are allowed"
        )
    if any(row["peak_mb"] > MAX_MB for row in rows if row["format"] != "set"):
        sys.exit(f"a file of judgments took more than {MAX_MB} MB")


def inside() -> None:
    """In the services of this VAR_DIR; prints a row a format as JSON."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from annotate.models import User

    call_command("migrate", interactive=False, verbosity=0)
    lead = User.objects.create(username="lead", role=User.Role.LEAD)
    connection.ensure_connection()
    rows, pairs = int(os.environ["BENCH_ROWS"]), int(os.environ["BENCH_PAIRS"])
    told = []
    # Past Django's wrapper, which would treat the statements' percent signs as its own.
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as database:
        for count in (pairs // 10, pairs) if pairs else ():
            fill_dominant(database, f"set-of-{count}", count, settings.STORAGE_ROOT)
            told.append(measure_set(f"set-of-{count}", count))
        if rows:
            count = fill_judgments(database, rows)
            told += [measure(lead, name, count) for name in ("jsonl", "parquet")]
    print(json.dumps(told))


def measure_set(name: str, count: int) -> dict[str, Any]:
    """One set of preference pairs, by the command."""
    from django.conf import settings

    began, peak = time.monotonic(), 0.0
    command = [sys.executable, str(ROOT / "manage.py"), "export_pairs", "--round", name, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as export:
        while export.poll() is None:
            time.sleep(0.2)
            with suppress(OSError, ValueError, psutil.Error):  # It ended meanwhile.
                peak = max(peak, peak_mb(export))
        told = json.loads(export.communicate()[0])
    wall_s = time.monotonic() - began
    files = [file for file in (settings.STORAGE_ROOT / told["folder"]).glob("*") if file.is_file()]
    return {
        "format": "set",
        "rows": told["pairs"],
        "missing": count - told["pairs"],
        "rows_per_s": round(count / wall_s),
        "wall_s": round(wall_s, 1),
        "peak_mb": round(peak),
        "file_mb": round(sum(file.stat().st_size for file in files) / 1e6, 1),
    }


def fill_judgments(database: psycopg.Connection[Any], count: int) -> int:
    """A round whose every slot is judged, by SQL; how many judgments there are."""
    began = time.monotonic()
    round = fill_round(database, "bench", -(-count // SLOTS_PER_PAIR))
    with database.transaction():
        # Triggers and key checks would take most of the time, and the rows are right by construction.
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute(
            "INSERT INTO annotate_user (password, is_superuser, username, first_name, last_name, email, "
            "is_staff, is_active, date_joined, role, is_simulated) "
            "SELECT '', false, 'annotator-' || n, '', '', '', false, true, now(), 'annotator', false "
            "FROM generate_series(0, %s) n",
            [ANNOTATORS - 1],
        )
        database.execute(
            "UPDATE annotate_slot s SET first_side = 'left', left_surplus = 1, lease = gen_random_uuid(), "
            "leased_at = now(), lease_expires_at = now(), judged_at = now(), annotator_id = u.id "
            "FROM annotate_user u WHERE s.round_id = %s AND u.username = 'annotator-' || "
            "(s.pair_id * 6 + s.ordinal + CASE s.track WHEN 'identity' THEN 0 ELSE 3 END) %% %s",
            [round.pk, ANNOTATORS],
        )
        database.execute(
            "INSERT INTO annotate_judgment (slot_id, revision, verdict, strength, reasons, note, breaks, "
            "evidence, is_simulated, idempotency_key, created_at) "
            "SELECT id, 1, (ARRAY['first', 'second', 'tie'])[id %% 3 + 1], '', '[]', '', '[]', %s, false, "
            "gen_random_uuid(), now() FROM annotate_slot WHERE round_id = %s ORDER BY id",
            [json.dumps(EVIDENCE), round.pk],
        )
    database.execute("VACUUM ANALYZE")
    print(f"{round.num_slots:,} judgments in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return round.num_slots


def measure(lead: Any, file_format: str, count: int) -> dict[str, Any]:
    """One file, by a worker that was started for it."""
    from annotate.exports.downloads import request_file
    from annotate.exports.tasks import send_judgment_file

    log = Path(os.environ["VAR_DIR"]) / f"worker-{file_format}.log"
    worker = start("worker", file_format, log)
    try:
        while "ready." not in log.read_text():
            if worker.poll() is not None:
                raise RuntimeError(f"the worker does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)  # Its start is no part of the measurement.
        idle_mb = peak_mb(worker)
        began = time.monotonic()
        file = request_file(lead, file_format=file_format)
        send_judgment_file(file)
        wall_s = _wait(file, began)
        peak = peak_mb(worker)
    finally:
        worker.terminate()
        worker.wait()
    return {
        "format": file_format,
        "rows": file.rows_written,
        "missing": count - _num_rows(file),
        "rows_per_s": round(count / wall_s),
        "wall_s": round(wall_s, 1),
        "peak_mb": round(peak),
        "idle_mb": round(idle_mb),
        "file_mb": round((file.size_bytes or 0) / 1e6, 1),
    }


def _wait(file: JudgmentFile, began: float) -> float:
    while file.is_live and time.monotonic() - began < LONGEST_S:
        time.sleep(0.2)
        file.refresh_from_db()
    if file.status != "done":
        raise RuntimeError(f"{file} is {file.status}: {file.error}")
    return time.monotonic() - began


def _num_rows(file: JudgmentFile) -> int:
    """Rows that are in the file, counted there."""
    from django.conf import settings

    path = settings.STORAGE_ROOT / file.path
    if file.file_format == "parquet":
        return int(pq.read_metadata(path).num_rows)
    with gzip.open(path) as lines:
        return sum(1 for _ in lines)


def peak_mb(worker: subprocess.Popen[Any]) -> float:
    """The most memory that a process of the worker has ever had in use, as the kernel counts it."""
    leader = psutil.Process(worker.pid)
    peaks = [
        int(found[1])
        for process in (leader, *leader.children(recursive=True))
        if (found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()))
    ]
    return max(peaks) * 1024 / 1e6


if __name__ == "__main__":
    inside() if sys.argv[1:] == ["inside"] else main(sys.argv[1:])
