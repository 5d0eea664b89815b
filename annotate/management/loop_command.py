"""What the commands of the loop have in common: `--json`, one clear line on failure, and waiting."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from tqdm import tqdm

from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.jobs.local_worker import work_here
from annotate.jobs.queries import run_progress
from annotate.jobs.stages import work_of
from annotate.models import Round, Run, RunStatus
from annotate.people import queries as curation_queries
from annotate.people.curation import curate_people
from annotate.rounds import queries
from generator.curation.card import read_uses
from generator.rundir import RunError

#: What a person can put right; anything else is a defect and keeps its traceback.
FAILURES = (RoundError, RunError, ValueError, OSError)


class LoopCommand(BaseCommand):
    """A command that does one thing and says what it did, for people or (`--json`) for machines."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = self.run(**options)
        except FAILURES as error:
            raise CommandError(" ".join(str(error).split())) from None
        if options["json"]:
            self.stdout.write(json.dumps(result, sort_keys=True, default=str))
        else:
            for name, value in result.items():
                self.stdout.write(f"{name.replace('_', ' ')}: {_readable(value)}")

    def run(self, **options: Any) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} must say what it does")


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return "".join(f"\n  {_readable(item)}" for item in value) or "-"
    return str(value)


def add_round_argument(parser: CommandParser) -> None:
    parser.add_argument("--round", help="the round's name or number; the newest open one by default")


def chosen_round(options: dict[str, Any]) -> Round:
    """The round that was named, or the newest open one.

    Raises:
        RoundError: there is no such round.
    """
    name = options["round"]
    found = queries.find_round(name)
    if found is None:
        known = ", ".join(Round.objects.values_list("name", flat=True)) or "none yet; start one"
        raise RoundError(f"no {'open round' if name is None else f'round {name!r}'}; rounds: {known}")
    return found


def wait_for_run(run: Run, *, quiet: bool = False) -> Run:
    """Show a run's progress until it ends.

    Raises:
        RoundError: it failed or was cancelled.
    """
    bar = tqdm(desc=f"{run.stage:>8}", disable=quiet, dynamic_ncols=True, unit="step")
    while True:
        run.refresh_from_db()
        progress = run_progress(run)
        if (progress["done"] or 0, progress["total"]) != (bar.n, bar.total):
            bar.total, bar.n = progress["total"], progress["done"] or 0
            bar.refresh()
        if not run.is_live:
            break
        time.sleep(0.5)
    bar.close()
    if run.status != RunStatus.DONE:
        log = settings.STORAGE_ROOT / run.folder / "log.txt"
        raise RoundError(f"{run} {run.status}: {run.error or 'by a lead'}; see {log}")
    return run


def read_consent(text: str) -> tuple[str, ...]:
    """The uses that an option names.

    Raises:
        ValueError: it names something else.
    """
    try:
        return read_uses(text)
    except ValueError as error:
        raise ValueError(f"--consent {text!r} {error}, or none") from None


def curate_with_bar(people: list[int], *, quiet: bool = False) -> dict[str, Any]:
    """Look at everything of these people that is not done, and say what became of their references."""
    with tqdm(
        desc="  curate",
        total=curation_queries.open_references(people).count(),
        disable=quiet,
        dynamic_ncols=True,
        unit="file",
    ) as bar:
        curate_people(people, on_done=bar.update)
    return curation_queries.outcome_of(people)


def send_and_maybe_wait(run: Run | None, options: dict[str, Any]) -> None:
    tasks.send_run(run)
    if run is None or not options["wait"]:
        return
    run.refresh_from_db()
    if run.status == RunStatus.QUEUED and not tasks.has_worker(run):
        print("no worker is running, so this command does its work", file=sys.stderr)
        # Ends with this process, and the run's own command with it.
        threading.Thread(target=_work, args=[run], daemon=True).start()
    wait_for_run(run, quiet=options["json"])


def _work(run: Run) -> None:
    try:
        if work_of(run.stage).sharding:
            work_here(run)
        else:
            tasks.execute_run(run.pk)
    finally:
        connection.close()
