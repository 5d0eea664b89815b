"""A pair and its vote on this site and on Label Studio, in turns: CPU of the web and of the database.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install label-studio gunicorn
    python -m bench.peers.label_studio --python /tmp/peer/bin/python --postgres /usr/lib/postgresql/15/bin

Both have a durable PostgreSQL, two processes of eight threads, as many annotators without think time and a
token for each. Label Studio needs the extension pg_trgm: Debian's PostgreSQL has it, the embedded has not.
Its settings are its own, but that nothing is reported home. Its project holds pairs of videos for its
`Pairwise` tag. A cycle is the next task and the answer to it, by the API of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import psycopg

from bench.web import Site, account, cpu_s, free_port, running_site, wait_until
from bench.web_client import Account, Api, Client, Log, NothingLeft, Refused, work
from bench.web_rows import fill_round

if TYPE_CHECKING:
    from annotate.supervisor.postgres import Postgres

#: More of neither is asked for, whatever the command line says.
MAX_ANNOTATORS, MAX_SECONDS, MAX_TURNS = 64, 60.0, 10
#: Pairs of either.
TASKS = 5_000
VOTES_WANTED = 3
ADMIN_TOKEN = "b" * 40
LABELS = """<View><Header value="Which video is better?"/>
<Pairwise name="better" toName="left,right"/>
<Video name="left" value="$left"/><Video name="right" value="$right"/></View>"""


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/label_studio.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.label_studio", description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="that has label-studio and gunicorn")
    parser.add_argument("--postgres", type=Path, required=True, help="folder of its PostgreSQL's programs")
    parser.add_argument("--annotators", type=int, default=32, help=f"at most {MAX_ANNOTATORS}")
    parser.add_argument("--seconds", type=float, default=20.0, help=f"of each run, at most {MAX_SECONDS:.0f}")
    parser.add_argument("--turns", type=int, default=3, help=f"at most {MAX_TURNS}")
    options = parser.parse_args(list(arguments))
    number, seconds = min(options.annotators, MAX_ANNOTATORS), min(options.seconds, MAX_SECONDS)
    from bench.timing import report

    rows = []
    python = options.python.absolute()
    with running_site() as site, _peer(python, options.postgres, number) as (peer, people):
        round = fill_round(site.database, "bench", TASKS)
        own = [account(f"peer-{place}") for place in range(number)]
        for _ in range(min(options.turns, MAX_TURNS)):
            ours = _measure(site, Api, own, round.pk, seconds)
            theirs = _measure(peer, LabelStudio, people, 1, seconds)
            rows.append(ours | {f"peer_{name}": value for name, value in theirs.items()})
            rows[-1]["times_less_cpu"] = theirs["cpu_ms"] / ours["cpu_ms"]
    report(
        "label_studio",
        rows,
        annotators=number,
        seconds=seconds,
        times_less_cpu=median(row["times_less_cpu"] for row in rows),
        load_average=os.getloadavg(),
        cores=os.cpu_count(),
    )


class LabelStudio:
    """Its API with a token: the next task of a project, and an annotation of it."""

    def __init__(self, port: int, person: Account, project: int) -> None:
        """Connect; the connection stays open."""
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.project = project
        self.headers = {"Authorization": f"Token {person.token}", "Content-Type": "application/json"}

    def lease(self, track: str) -> str:
        """The next task; it has no tracks."""
        return str(self.ask("GET", f"/api/projects/{self.project}/next/", None, 200)["id"])

    def answer(self, track: str, lease: str, key: str, choice: str) -> None:
        """Store an annotation. Its tag knows left, right and nothing else."""
        side = choice if choice in ("left", "right") else "left"
        said = {"type": "pairwise", "from_name": "better", "to_name": "left", "value": {"selected": side}}
        body = {"result": [said], "lead_time": 9.0}
        self.ask("POST", f"/api/tasks/{lease}/annotations/?project={self.project}", body, 201)

    def ask(self, method: str, path: str, body: Any, wanted: int) -> Any:
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status == 404:
            raise NothingLeft
        if response.status != wanted:
            raise Refused(f"{path}: {response.status} {content[:200]!r}")
        return json.loads(content)


@contextmanager
def _peer(python: Path, programs: Path, number: int) -> Iterator[tuple[Site, list[Account]]]:
    """Label Studio with a PostgreSQL of its own, and annotators of its project 1."""
    from annotate.supervisor.processes import Child, Command

    folder, port = Path(tempfile.mkdtemp(prefix="bench-peer-")), free_port()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = _cluster(folder / "cluster", programs)
        postgres = Child(Command("postgres", server.command(), signal.SIGINT), folder, is_quiet=True)
        stack.callback(postgres.stop)
        postgres.start()
        wait_until(server.is_ready)
        database = stack.enter_context(psycopg.connect(server.url("postgres"), autocommit=True))
        environment = _environment(database, folder, port)
        _set_up(python, folder, environment)
        bound = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "8", "--timeout", "60"]
        bound += ["--keep-alive", "60"]
        own = ["env", *(f"{name}={value}" for name, value in environment.items())]
        argv = [*own, str(python), "-m", "gunicorn", "core.wsgi", "--chdir", _place(python), *bound]
        web = Child(Command("peer", argv), folder, is_quiet=True)
        stack.callback(web.stop)
        web.start()
        lead = LabelStudio(port, Account(1, ADMIN_TOKEN, ""), 1)
        wait_until(lambda: _answers(lead), 120)
        yield Site(port, database, postgres, web), _fill(database, lead, number)


def _cluster(folder: Path, programs: Path) -> Postgres:
    """A cluster as the site's own, of other programs."""
    from annotate.supervisor import postgres

    class Other(postgres.Postgres):
        def _argv(self, program: str, *arguments: str) -> list[str]:
            return [*postgres._unprivileged(self.folder), str(programs / program), *arguments]

    cluster = Other(folder)
    folder.mkdir()
    postgres.make_private(folder, *postgres._account())
    made = cluster._argv("initdb", "-D", str(cluster.data), "-U", "postgres", "-A", "trust", "-E", "UTF8")
    subprocess.run([*made, "--locale=C"], check=True, capture_output=True, cwd="/")
    return cluster


def _set_up(python: Path, folder: Path, environment: dict[str, str]) -> None:
    """Its tables, a lead with a token, and a project."""
    labels = folder / "labels.xml"
    labels.write_text(LABELS)
    argv = [str(python.with_name("label-studio")), "init", "pairs", "--no-browser"]
    argv += ["--label-config", str(labels), "--username", "lead@example.org", "--password", "only for this"]
    argv += ["--user-token", ADMIN_TOKEN, "--enable-legacy-api-token"]
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Label Studio cannot be set up: {done.stdout[-500:]} {done.stderr[-1500:]}")


def _place(python: Path) -> str:
    """The folder of its package, from which it runs."""
    says = "import importlib.util as u; print(*u.find_spec('label_studio').submodule_search_locations)"
    done = subprocess.run([python, "-c", says], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _environment(database: psycopg.Connection[Any], folder: Path, port: int) -> dict[str, str]:
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return known | {
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "DJANGO_DB": "default",
        "POSTGRE_HOST": database.info.host,
        "POSTGRE_PORT": str(database.info.port),
        "POSTGRE_USER": database.info.user,
        "POSTGRE_NAME": "postgres",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_HOST": f"http://127.0.0.1:{port}",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
    }


def _answers(lead: LabelStudio) -> bool:
    try:
        return bool(lead.ask("GET", "/api/projects/1/", None, 200))
    except (OSError, Refused):
        lead.connection.close()
        return False


def _fill(database: psycopg.Connection[Any], lead: LabelStudio, number: int) -> list[Account]:
    """Tasks of the project, which wants several votes on each, and annotators with their tokens."""
    lead.ask("PATCH", "/api/projects/1/", {"maximum_annotations": VOTES_WANTED}, 200)
    tasks = [{"data": {side: f"/{side}-{place}.mp4" for side in ("left", "right")}} for place in range(TASKS)]
    lead.ask("POST", "/api/projects/1/import", tasks, 201)
    for place in range(number):
        name = f"annotator-{place}"
        lead.ask("POST", "/api/users/", {"email": f"{name}@example.org", "username": name}, 201)
    database.execute("UPDATE htx_user SET active_organization_id = 1")
    found = database.execute("SELECT user_id, key FROM authtoken_token WHERE user_id > 1").fetchall()
    database.execute("VACUUM ANALYZE")
    return [Account(pk, key, "") for pk, key in found]


def _measure(
    site: Site,
    client: Callable[[int, Account, int], Client],
    people: list[Account],
    round: int,
    seconds: float,
) -> dict[str, Any]:
    work(client, site.port, people[:1], round, 1)  # connections, caches
    before = cpu_s(site.web), cpu_s(site.postgres)
    log, spent = work(client, site.port, people, round, seconds)
    web_s, database_s = cpu_s(site.web) - before[0], cpu_s(site.postgres) - before[1]
    if log.is_exhausted or not log.votes:
        raise RuntimeError(f"nothing to measure: {len(log.votes)} votes, {log.errors[:1]}")
    cycles = len(log.votes)
    return {
        "cpu_ms": 1000 * (web_s + database_s) / cycles,
        "web_cpu_ms": 1000 * web_s / cycles,
        "database_cpu_ms": 1000 * database_s / cycles,
        "cycles": cycles,
        "cycles_per_s": cycles / spent,
        "cycle_p95_ms": _p95(log),
        "errors": len(log.errors),
    }


def _p95(log: Log) -> float:
    cycles = [1000 * (a + b) for a, b in zip(log.next_s, log.submit_s, strict=True)]
    return quantiles(cycles, n=20, method="inclusive")[18] if len(cycles) > 1 else cycles[0]


if __name__ == "__main__":
    main(sys.argv[1:])
