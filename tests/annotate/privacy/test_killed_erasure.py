"""An erasure that is killed at each of five points, and run again: it always ends the same."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections import Counter
from importlib import import_module
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command

from annotate.exports.downloads import request_file, write_file
from annotate.exports.freezing import export_round
from annotate.gold.gold import make_gold
from annotate.models import Erasure, FileRemoval, IdentityGroup, VideoPair
from generator.files import file_sha256
from rlhf.records import Track, Verdict
from tests.annotate.copies import ended
from tests.factories import make_group, make_instance, make_pair, make_reference, make_round, make_user
from tests.studies import make_evaluation, open_study
from tests.votes import vote

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ARGUMENTS = ["zephyrine", "--yes", "--json"]
#: Where it is killed: by calling what, for the how manieth time.
POINTS = {
    "before the transaction": ("annotate.privacy.erasure:_erase", 1),
    "inside the transaction": ("annotate.privacy.erasure:_delete", 1),
    "right after the commit": ("annotate.privacy.erasure:carry_out", 1),
    "amid the removal of files": ("annotate.privacy.file_removal:_do", 4),
    "before the report": ("annotate.privacy.erasure:_told", 1),
}
#: How many rows of the person, and removals not done, a kill at each point leaves.
LEFT = {
    "before the transaction": (1, False),
    "inside the transaction": (1, False),
    "right after the commit": (0, True),
    "amid the removal of files": (0, True),
    "before the report": (0, False),
}


def build() -> None:
    """A person with an export, gold, a study, a file of judgments; and somebody else beside them."""
    for file in sorted(settings.STORAGE_ROOT.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    round = make_round()
    groups = [make_group(name=name, truth=None) for name in ("zephyrine", "tom")]
    for number, group in enumerate(groups):
        pair = make_pair(round, make_instance(group, num_references=0))
        for position in range(3):
            own_files(group, pair, f"{number}{position}".rjust(32, "a"), position)
        for track in Track:
            vote(pair, track, Verdict.FIRST)
    make_gold(round)
    export_round(round)
    instances = [pair.instance for pair in VideoPair.objects.filter(round=round, gold=None)]
    open_study(make_evaluation(instances=instances))
    assert write_file(request_file(make_user(role="lead")).pk, uuid4())


def own_files(group: IdentityGroup, pair: VideoPair, room: str, position: int) -> None:
    """A reference in a folder of its own, as an import makes it."""
    reference = make_reference(group)
    folder = settings.STORAGE_ROOT / "references" / room
    folder.mkdir(parents=True)
    for column in ("path", "poster"):
        source = settings.STORAGE_ROOT / getattr(reference, column)
        (folder / source.name).write_bytes(source.read_bytes())
        setattr(reference, column, f"references/{room}/{source.name}")
    reference.save()
    pair.instance.places.create(reference=reference, position=position)


def erase() -> dict[str, Any]:
    """The report of the real command, which nothing kills."""
    told = StringIO()
    call_command("erase_identity", *ARGUMENTS, stdout=told)
    return dict(json.loads(told.getvalue()))


def erase_and_die(place: str, number: int) -> int:
    """In a copy of this process, which kills itself where a function is called for the nth time."""
    module, name = place.split(":")
    owner, calls = import_module(module), itertools.count(1)
    original = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    def work() -> None:
        setattr(owner, name, dying)
        erase()

    return ended(work)


def state() -> dict[str, Any]:
    """Everything that is left: how many rows of each table, and every stored file with its hash."""
    rows = {table.__name__: table._default_manager.count() for table in apps.get_models()}
    files = [path for path in settings.STORAGE_ROOT.rglob("*") if path.is_file()]
    rooms = Counter(path.relative_to(settings.STORAGE_ROOT).parts[0] for path in files)
    return {"rows": rows, "rooms": rooms, "files": sorted(map(file_sha256, files))}


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    """What each point ended with, printed when all are through."""
    return {}


@pytest.mark.parametrize("point", POINTS)
def test_an_erasure_that_is_killed_ends_the_same_when_it_is_run_again(point, table, capsys):
    build()
    assert erase_and_die(*POINTS[point]) == -signal.SIGKILL
    people = IdentityGroup.objects.filter(name="zephyrine").count()
    assert (people, FileRemoval.objects.exists()) == LEFT[point]
    if people:
        assert not Erasure.objects.exists() and state()["files"], "nothing was taken away"
    report = erase()
    assert report["erased"] and report["files_left"] == [] and report["files"] > 0
    assert not IdentityGroup.objects.filter(name="zephyrine").exists() and not FileRemoval.objects.exists()
    left = state()
    assert (erase(), state()) == (report, left), "asking once more changes nothing"
    line = f"{point:<26} person {people}, export withdrawn {bool(report['exports_withdrawn'])}, "
    kept = ", ".join(f"{room} {count}" for room, count in sorted(left["rooms"].items()))
    table[point] = f"{line}{report['files']} files gone; left: {kept}"
    with capsys.disabled():
        print(f"\n{table[point]}")
    figures = {line.partition("export")[2] for line in table.values()}
    assert len(figures) == 1, table
