"""How fast people can be given pairs and give votes: the whole site as it runs in production, under load.

A PostgreSQL and a web server of their own, on loopback only, in a folder that is removed afterwards. C
annotators without think time ask for a pair and answer it, on both tracks in turn. Every vote that the site
said it stored is looked for in the database. `python -m bench.web --pairs 5000` is a small one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from bench.web_client import DOORS, Account, Log, work
from bench.web_rows import FilledRound, fill_round, judge_much

if TYPE_CHECKING:
    from annotate.supervisor.processes import Child

PAIRS = 100_000
SECONDS = 20.0
ANNOTATORS = (1, 8, 32, 64)
#: Open slots at which `next` is timed, and how much the second person there has judged before.
QUEUES = (1_000, 100_000, 1_000_000)
JUDGED_BEFORE = 5_000
#: SQL statements are counted over so many seconds of one annotator, since logging them costs time.
COUNTED_S = 3.0


@dataclass(frozen=True)
class Site:
    """The running site: where it listens, its database, and its two trees of processes."""

    port: int
    database: psycopg.Connection[Any]
    postgres: Child
    web: Child


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/web.json` and `web-next.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.web", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each row")
    parser.add_argument("--queues", type=int, nargs="*", default=QUEUES, help="open slots to time `next` at")
    options = parser.parse_args(list(arguments))
    from bench.timing import report

    with running_site() as site:
        began = time.perf_counter()
        round = fill_round(site.database, "bench", options.pairs)
        print(f"{round.num_slots:,} slots of {options.pairs:,} pairs in {time.perf_counter() - began:.0f} s")
        doors = [("api", count) for count in ANNOTATORS] + [("page", 32)]
        rows = [_measure(site, round, door, count, options.seconds) for door, count in doors]
        site.database.execute("UPDATE annotate_round SET state = 'closed'")
        queues = [row for size in options.queues for row in _measure_next(site, size)]
    load = {"load_average": os.getloadavg(), "cores": os.cpu_count()}
    report("web", rows, pairs=options.pairs, seconds=options.seconds, **load)
    if queues:
        report("web-next", queues, **load)


@contextmanager
def running_site(**settings: str) -> Iterator[Site]:
    """A durable PostgreSQL and the web server, both with the settings of production, but for those given."""
    from annotate.supervisor.postgres import Postgres
    from annotate.supervisor.processes import Child, Command

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    server = Postgres(folder / "cluster")
    server.prepare()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = Child(Command("postgres", server.command(), signal.SIGINT), folder, is_quiet=True)
        stack.callback(postgres.stop)
        postgres.start()
        wait_until(server.is_ready)
        os.environ |= {
            # Its annotators look at nothing, and answer as fast as they can.
            "ANSWER_GUARD_MS": "0",
            "BIND": "127.0.0.1",
            "PORT": str(free_port()),
            "DATABASE_URL": server.url("postgres"),
            "DJANGO_SETTINGS_MODULE": "annotate.settings",
            "LOG_LEVEL": "WARNING",
            "SECRET_KEY": "only for this benchmark, nothing is signed",
            "VAR_DIR": str(folder),
            **settings,
        }
        import django
        from django.core.management import call_command

        from annotate.supervisor import programs

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        web = Child(programs.web(), folder, is_quiet=True)
        stack.callback(web.stop)
        web.start()
        wait_until(programs.is_web_ready)
        database = stack.enter_context(psycopg.connect(server.url("postgres"), autocommit=True))
        yield Site(int(os.environ["PORT"]), database, postgres, web)


def _measure(site: Site, round: FilledRound, door: str, count: int, seconds: float) -> dict[str, Any]:
    accounts = [account(f"{door}-{count}-{number}") for number in range(count)]
    work(DOORS[door], site.port, accounts[:1], round.pk, 1)  # connections, caches, templates
    before = cpu_s(site.web), cpu_s(site.postgres)
    log, spent = work(DOORS[door], site.port, accounts, round.pk, seconds)
    after = cpu_s(site.web), cpu_s(site.postgres)
    cycles = len(log.votes)
    if log.is_exhausted:
        raise RuntimeError(f"{count} annotators judged every pair of this round; give more with --pairs")
    return {
        "door": door,
        "annotators": count,
        "cycles_per_s": cycles / spent,
        # On the page the next pair comes with the answer.
        **_cuts("next", log.next_s if door == "api" else []),
        **_cuts("submit", log.submit_s),
        "web_cpu_ms": 1000 * (after[0] - before[0]) / cycles,
        "database_cpu_ms": 1000 * (after[1] - before[1]) / cycles,
        **_count_statements(site, door, round, account(f"{door}-{count}-counted")),
        "errors": len(log.errors),
        **_check(site, log),
    } | ({"first_error": log.errors[0]} if log.errors else {})


def _measure_next(site: Site, size: int) -> Iterator[dict[str, Any]]:
    """Time `next` in a queue of `size` open slots, for somebody new and for somebody of long standing."""
    round = fill_round(site.database, f"queue-{size}", size // 6)
    for judged in (0, min(JUDGED_BEFORE, size // 12)):
        person = account(f"queue-{size}-{judged}")
        if judged:
            judge_much(site.database, round, person.pk, judged)
        # Nobody may meet a pair twice: a short queue is left before it is empty for this person.
        log, _ = work(DOORS["api"], site.port, [person], round.pk, min(3.0, size / 2500))
        yield {
            "open_slots": size,
            "judged_before": judged,
            **_cuts("next", log.next_s),
            "asked": len(log.next_s),
            "errors": len(log.errors),
        }
    site.database.execute("UPDATE annotate_round SET state = 'closed'")


def account(name: str) -> Account:
    """Somebody who has signed in, through the API as on the page."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from rest_framework.authtoken.models import Token

    from annotate.models import User

    user = User.objects.create(username=name)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    assert session.session_key is not None
    return Account(user.pk, Token.objects.create(user=user).key, session.session_key)


def _cuts(name: str, seconds: list[float]) -> dict[str, float | None]:
    if not seconds:
        return dict.fromkeys(f"{name}_{cut}_ms" for cut in ("p50", "p95", "p99"))
    cuts = quantiles([1000 * value for value in seconds], n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p95_ms": cuts[94], f"{name}_p99_ms": cuts[98]}


def cpu_s(child: Child) -> float:
    """Seconds of CPU that a tree of processes has used, those that have ended included."""
    assert child.process is not None
    leader = psutil.Process(child.process.pid)
    total = 0.0
    for process in (leader, *leader.children(recursive=True)):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its leader counts it from now on
        total += used.user + used.system + used.children_user + used.children_system
    return total


def _count_statements(site: Site, door: str, round: FilledRound, account: Account) -> dict[str, float]:
    """SQL statements a cycle, from the server's own log; the ends of transactions are counted apart."""
    client = DOORS[door](site.port, account, round.pk)
    work(lambda *_: client, site.port, [account], round.pk, 0.5)  # the first view of the page is no cycle
    _log_statements(site, "all")
    start = site.postgres.log.stat().st_size
    log, _ = work(lambda *_: client, site.port, [account], round.pk, COUNTED_S)
    _log_statements(site, "none")
    with site.postgres.log.open("rb") as file:
        file.seek(start)
        # The last two end the log.
        lines = re.findall(rb"LOG:  (?:statement|execute [^:]*):\s+(\w+)", file.read())[:-2]
    ends = sum(line in (b"BEGIN", b"COMMIT", b"ROLLBACK") for line in lines)
    return {
        "statements": (len(lines) - ends) / len(log.votes),
        "begins_and_commits": ends / len(log.votes),
    }


def _log_statements(site: Site, which: str) -> None:
    site.database.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
    site.database.execute("SELECT pg_reload_conf()")
    time.sleep(0.5)


def _check(site: Site, log: Log) -> dict[str, int]:
    """The client's own log against the database, and the promises of the assignment."""
    stored = site.database.execute(
        "SELECT j.idempotency_key::text, s.annotator_id, s.lease::text, j.verdict, s.first_side "
        "FROM annotate_judgment j JOIN annotate_slot s ON s.id = j.slot_id"
    ).fetchall()
    keys = {row[0]: row[1:] for row in stored}
    said = {vote.key: (vote.annotator, vote.lease, vote.choice) for vote in log.votes}
    lost = sum(keys.get(key, (None,) * 4)[:2] != vote[:2] for key, vote in said.items())
    turned = sum(_verdict(vote[2], keys[key][3]) != keys[key][2] for key, vote in said.items() if key in keys)
    return {
        "lost": lost,
        "doubled": len(stored) - len({row[2] for row in stored}),
        "other_verdict": turned,
        "over_assigned": _number(
            site,
            "SELECT count(*) FROM (SELECT 1 FROM annotate_slot WHERE annotator_id IS NOT NULL "
            "GROUP BY pair_id, annotator_id HAVING count(*) > 1) both_tracks",
        )
        + _number(
            site,
            "SELECT count(*) FROM (SELECT 1 FROM annotate_judgment j "
            "JOIN annotate_slot s ON s.id = j.slot_id "
            "JOIN annotate_round r ON r.id = s.round_id GROUP BY s.pair_id, s.track, r.votes_wanted "
            "HAVING count(*) > r.votes_wanted) too_many",
        ),
    }


def _verdict(choice: str, first_side: str) -> str:
    """What a choice means; told again here, since the benchmark checks it."""
    if choice not in ("left", "right"):
        return choice
    return "first" if choice == first_side else "second"


def _number(site: Site, statement: str) -> int:
    row = site.database.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(is_ready: Any, patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{is_ready.__qualname__} is not true after {patience_s:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
