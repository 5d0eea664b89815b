"""A site with a million votes: seconds and statements of each page, list and command, as who asks for it.

The site's embedded services run in a folder of their own, which is removed afterwards; the rows are made by
SQL. `python -m bench.scale --fraction 0.01` is a small one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench.scale_commands import COMMANDS, run
from bench.scale_rows import Size, fill
from bench.timing import report, seconds

if TYPE_CHECKING:
    from django.test import Client

ROOT = Path(__file__).resolve().parents[1]
#: What a page may take at the full size.
MAX_S, MAX_STATEMENTS = 0.5, 25
#: What polls itself, and may ask the database one question beside those of the session and its user.
MAX_POLLED_STATEMENTS = 3
OPENED = (200, 204)  # 204: nothing new
#: Also of what is asked of a worker: the page of its job.
ASKED = (*OPENED, 302)
POLLING = {"HX-Request": "true"}
#: Of the answers to one request, the quickest counts: other programs use the machine, too.
TRIES = 3
#: A page that takes this long is asked for no further time.
LONG_S = 2.0

LEAD_PAGES = (
    *("/", "/rounds/", "/rounds/1/", "/rounds/1/numbers/", "/rounds/1/plan/", "/rounds/1/adjudication/"),
    *(
        *("/rounds/1/pairs/", "/rounds/1/pairs/?state=tied", "/rounds/1/votes/", "/rounds/1/notes/"),
        *("/pairs/1/", "/annotators/9/votes/", "/annotators/9/votes/?only=differs"),
        "/rounds/1/gold/",
        "/rounds/1/state/?to=closed",
        "/people/",
        "/people/?after=%5B%22person+50000%22%2C+50000%5D",
        "/people/?state=unusable",
    ),
    *("/people/?search=person+7", "/people/?consent=train", "/people/1/", "/people/prompts/"),
    *(
        "/people/thresholds/",
        "/instances/1/prompt/",
        "/annotators/",
        "/annotators/9/",
        "/accounts/",
        "/models/",
    ),
    *(
        "/models/1/",
        "/models/2/",
        "/models/compare/",
        "/models/sft/",
        "/exports/1/",
        "/judgments/",
        "/studies/",
    ),
    *("/entry-links/", "/webhooks/", "/metrics", "/jobs/", "/rounds/1/launch/", "/rounds/1/launch/?export=1"),
)
#: What a worker is asked for, and answers with the page of a job.
LEAD_ASKS: dict[str, dict[str, Any] | None] = {
    "/models/2/card/": None,  # to read
    "/models/2/evaluate/": {},
    "/models/compare/": {
        "baseline": 1,
        "candidate": 2,
        "num_seeds": 2,
        "instances": [5],
    },  # of held-out people,
    "/rounds/1/advance/": {},
    "/rounds/1/gold/": {},
    "/people/thresholds/": {"action": "apply"},
    "/models/2/next-round/": {"name": "another"},
}
POLLED_PAGES = ("/rounds/1/", "/people/")
LEAD_LISTS = (
    "/api/rounds/",
    "/api/rounds/1/",
    "/api/models/",
    "/api/exports/",
    "/api/judgment-files/",
    "/api/jobs/",
)
ANNOTATOR_PAGES = ("/", "/account/numbers/", "/judge/identity/", "/judge/controllability/")
OPERATOR_PAGES = ("/healthz", "/readyz", "/metrics")


@dataclass(frozen=True)
class Timed:
    """One page, list or command."""

    who: str
    what: str
    status: int
    statements: int
    seconds: float
    kbytes: float

    @property
    def is_within(self) -> bool:
        most = MAX_POLLED_STATEMENTS if self.what.endswith("(polled)") else MAX_STATEMENTS
        return self.status in ASKED and self.seconds <= MAX_S and self.statements <= most


def main(arguments: Sequence[str] = ()) -> None:
    """Fill, time, print and write; exits with an error where a page does not open."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--fraction", type=float, default=1.0, help="of a million votes")
    parser.add_argument("--commands", action="store_true", help="commands and scheduled jobs, too")
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        environment = os.environ | {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotate.settings"}
        environment |= {"OMP_NUM_THREADS": "1", "BENCH_FRACTION": str(options.fraction)}
        environment |= {"BENCH_COMMANDS": "1" if options.commands else "0"}
        command = [sys.executable, "-m", "annotate.supervisor", "run", sys.executable, "-m", "bench.scale"]
        done = subprocess.run(
            [*command, "inside"], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    report(
        "scale",
        measured["rows"],
        size=measured["size"],
        fill_s=measured["fill_s"],
        recount_s=measured["recount_s"],
        commands=measured["commands"],
        load_average=os.getloadavg(),
        cores=os.cpu_count(),
    )
    if failed := [
        row["what"]
        for row in measured["rows"]
        if row["status"] not in (ASKED if "(asked)" in row["what"] else OPENED)
    ]:
        sys.exit(f"these do not open: {', '.join(failed)}")


def inside() -> None:
    """In the services of this VAR_DIR; prints what was measured as JSON."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from annotate.tallies.recount import correct

    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    size, began = Size.of(float(os.environ["BENCH_FRACTION"])), time.monotonic()
    connection.ensure_connection()
    # Past Django's wrapper, which would treat the statements' percent signs as its own.
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as database:
        fill(database, size)
        database.execute("VACUUM ANALYZE")
    fill_s = round(time.monotonic() - began, 1)
    recount_s = round(seconds(correct), 1)
    rows = [asdict(timed) | {"within": timed.is_within} for timed in measure()]
    commands = [run(name) for name in COMMANDS] if os.environ["BENCH_COMMANDS"] == "1" else []
    print(
        json.dumps(
            {
                "size": asdict(size),
                "fill_s": fill_s,
                "recount_s": recount_s,
                "rows": rows,
                "commands": commands,
            }
        )
    )


def measure() -> list[Timed]:
    """Every page, list and command, in the services at hand."""
    from annotate.models import User

    lead, annotator = (_browser(User.objects.get(username=name)) for name in ("lead", "annotator-9"))
    machine = _machine(User.objects.get(username="lead"))
    polled = {path: _polled(lead, path) for path in POLLED_PAGES}
    asked: list[tuple[str, str, Callable[[], Any]]] = [
        *(("lead", path, lambda path=path: lead.get(path)) for path in LEAD_PAGES),
        *(
            ("lead", f"{path} (polled)", lambda path=path: lead.get(polled[path], headers=POLLING))
            for path in POLLED_PAGES
        ),
        *(("lead", f"{path} (asked)", partial(_ask, lead, path)) for path in LEAD_ASKS),
        *(("lead", path, lambda path=path: machine.get(path)) for path in LEAD_LISTS),
        *(("annotator", path, lambda path=path: annotator.get(path)) for path in ANNOTATOR_PAGES),
        *(("operator", path, lambda path=path: _browser(None).get(path)) for path in OPERATOR_PAGES),
    ]
    return [_timed(who, what, ask) for who, what, ask in asked]


def _ask(browser: Client, path: str) -> Any:
    form = LEAD_ASKS[path]
    return browser.get(path) if form is None else browser.post(path, form)


def _polled(browser: Client, path: str) -> str:
    """The address that a page asks for again and again."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every', browser.get(path).content.decode())
    return found[1] if found else path


def _timed(who: str, what: str, ask: Callable[[], Any]) -> Timed:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ask()  # templates are compiled and pages of the database read in
    best = float("inf")
    for _ in range(TRIES):
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            answer = ask()
            best = min(best, time.perf_counter() - began)
        if best > LONG_S:
            break
    timed = Timed(who, what, answer.status_code, len(captured), round(best, 3), len(answer.content) / 1000)
    print(f"{who} {what}: {timed.seconds} s, {timed.statements} statements", file=sys.stderr, flush=True)
    return timed


def _browser(user: Any) -> Client:
    from django.test import Client

    browser = Client(raise_request_exception=False, headers={"host": "localhost"})
    if user is not None:
        browser.force_login(user)
    return browser


def _machine(user: Any) -> Client:
    from django.test import Client
    from rest_framework.authtoken.models import Token

    token = Token.objects.create(user=user)
    return Client(
        raise_request_exception=False,
        headers={"host": "localhost", "authorization": f"Token {token.key}"},
    )


if __name__ == "__main__":
    inside() if sys.argv[1:] == ["inside"] else main(sys.argv[1:])
