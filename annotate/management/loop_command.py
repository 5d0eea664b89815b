"""What the commands of the loop have in common: `--json`, one clear line on failure, and waiting."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from tqdm import tqdm

from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.jobs.local_worker import work_here
from annotate.jobs.queries import run_progress
from annotate.models import ModelVersion, Round, Run, RunStatus, Split
from annotate.people import queries as curation_queries
from annotate.people.curation import curate_people
from annotate.people.identities import import_people
from annotate.privacy.consent_queries import Consent, sentence
from annotate.registry.queries import version_found_by
from annotate.registry.registration import queue_base
from annotate.rounds import queries
from annotate.storage.opening import site_storage
from generator.curation.card import read_uses
from generator.rundir import RunError

#: What a person can put right; anything else is a defect and keeps its traceback.
FAILURES = (RoundError, RunError, ValueError, OSError)

#: Adds one argument, or several, to a command's parser.
Argument = Callable[[CommandParser], Any]


def argument(name: str, **options: Any) -> Argument:
    return lambda parser: parser.add_argument(name, **options)


def switch(name: str, help: str) -> Argument:
    return argument(name, action="store_true", help=help)


ROUND = argument("--round", help="the round's name or number; the newest open one by default")
WAIT = switch("--wait", "show progress and return when it ends")
SPLIT = argument("--split", choices=Split.values, help="only people of this split")
SOURCE = argument("--source", help="only people of this source")


class LoopCommand(BaseCommand):
    """A command that does one thing and says what it did, for people or (`--json`) for machines."""

    arguments: ClassVar[tuple[Argument, ...]] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        for add in (*self.arguments, switch("--json", "print one JSON object instead of text")):
            add(parser)

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

    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} must say what it does")


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return "".join(f"\n  {_readable(item)}" for item in value) or "-"
    return str(value)


def chosen_round(options: dict[str, Any]) -> Round:
    """The round that was named, or the newest open one.

    Raises:
        RoundError: there is no such round.
    """
    name = options["round"]
    round = queries.find_round(name)
    if round is None:
        known = ", ".join(Round.objects.values_list("name", flat=True)) or "none yet; start one"
        raise RoundError(f"no {'open round' if name is None else f'round {name!r}'}; rounds: {known}")
    return round


def chosen_model(name: str | None) -> ModelVersion | None:
    """The model version that was named, if one was.

    Raises:
        RoundError: there is no such version.
    """
    model = queries.find_model(name) if name else None
    if name and model is None:
        raise RoundError(f"no model version {name!r}; known: {queries.model_names()}")
    return model


def wait_for_run(run: Run, *, quiet: bool = False) -> None:
    """Show a run's progress until it ends.

    Raises:
        RoundError: it failed or was cancelled.
    """
    with tqdm(desc=f"{run.stage:>8}", disable=quiet, dynamic_ncols=True, unit="step") as bar:
        while True:
            run.refresh_from_db()
            progress = run_progress(run)
            if (progress["done"] or 0, progress["total"]) != (bar.n, bar.total):
                bar.total, bar.n = progress["total"], progress["done"] or 0
                bar.refresh()
            if not run.is_live:
                break
            time.sleep(0.5)
    if run.status != RunStatus.DONE:
        log = site_storage().shown(f"{run.folder}/log.txt")
        raise RoundError(f"{run} {run.status}: {run.error or 'by a lead'}; see {log}")


def read_consent(text: str | None) -> tuple[str, ...] | None:
    """The uses that the option `--consent` names, where it is given.

    Raises:
        ValueError: it names something else.
    """
    try:
        return None if text is None else read_uses(text)
    except ValueError as error:
        raise ValueError(f"--consent {text!r} {error}, or none") from None


def import_folder(folder: Path, *, quiet: bool = False, **options: Any) -> dict[str, Any]:
    """Import and curate a folder of people, and say what became of it; `options` as in `import_people`."""
    report = import_people(
        folder, follow=lambda people: tqdm(people, desc="  import", unit="person", disable=quiet), **options
    )
    to_curate = curation_queries.open_references(report.people).count()
    with tqdm(desc="  curate", total=to_curate, disable=quiet, dynamic_ncols=True, unit="file") as bar:
        curate_people(report.people, on_done=bar.update)
    outcome = curation_queries.outcome_of(report.people)
    return {
        "people": report.num_people,
        "new_references": report.num_new,
        "known_references": report.num_known,
        "kept": outcome["kept"],
        "left_out": dict(Counter(str(item.reason) for item in report.rejected) + outcome["reasons"]),
        "failed": outcome["failed"],
        "consent_unknown": sentence(Consent.UNKNOWN, report.without_consent) or "of nobody",
        "rejected": [f"{item.path}: {item.reason}: {item.detail}" for item in report.rejected]
        + outcome["rejected"],
    }


def first_model(*, quiet: bool = False) -> ModelVersion:
    """MODEL_PATH as a version, once a worker that has it has looked at it.

    Raises:
        RoundError: it cannot be used; the message says why.
    """
    place = Path(settings.MODEL_PATH)
    run = queue_base(str(place.resolve()) if place.exists() else settings.MODEL_PATH)
    send_run(run, quiet=quiet)
    version = version_found_by(run)
    assert version is not None, "a finished run registers what it looked at"
    return version


def send_run(run: Run | None, *, wait: bool = True, quiet: bool = False) -> None:
    """Send a run, if there is one; without a worker to wait for, this process does its work."""
    tasks.send_run(run)
    if run is None or not wait:
        return
    run.refresh_from_db()
    if run.status == RunStatus.QUEUED and not tasks.has_worker(run):
        print("no worker is running, so this command does its work", file=sys.stderr)
        # Ends with this process, and the run's own command with it.
        threading.Thread(target=_work, args=[run], daemon=True).start()
    wait_for_run(run, quiet=quiet)


def _work(run: Run) -> None:
    try:
        work_here(run)
    finally:
        connection.close()
