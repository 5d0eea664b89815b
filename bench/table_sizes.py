"""How many bytes rows take in PostgreSQL, with their indexes: a round from its prompts to its verdicts.

The rows are made by the site's own code, in embedded services and a folder that is removed afterwards, so
that texts and JSON are as long as they are. `python -m bench.table_sizes --pairs 50` is a small one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle
from random import Random
from string import ascii_lowercase
from typing import Any
from uuid import uuid4

from bench.curation_workers import ROOT
from bench.export import EVIDENCE
from bench.timing import report

PAIRS, ANNOTATORS = 500, 6
FACTS = {"width": 1280, "height": 704, "num_frames": 121, "fps": 24.0, "size_bytes": 12_345_678}
VERDICTS = ("first", "first", "second", "tie", "first")
#: Descriptions are so many letters long, and hardly compressible, as those of a language model.
LETTERS = 80
_CHANCE = Random(0)
#: `pg_total_relation_size` counts the table, its indexes and what is kept beside it.
SIZES = (
    "SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND relname LIKE 'annotate_%'"
)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/table_sizes.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.table_sizes", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory(prefix="bench-sizes-") as folder:
        environment = os.environ | {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotate.settings"}
        environment |= {"BENCH_PAIRS": str(options.pairs), "ANSWER_GUARD_MS": "0", "LOG_LEVEL": "WARNING"}
        inside = [sys.executable, "-m", "bench.table_sizes", "inside"]
        done = subprocess.run(
            [sys.executable, "-m", "annotate.supervisor", "run", *inside],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    report("table_sizes", json.loads(done.stdout.strip().splitlines()[-1]), pairs=options.pairs)


def inside() -> None:
    """In the services of this VAR_DIR; prints a row for each table as JSON."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from annotate.storage.opening import site_storage

    call_command("migrate", interactive=False, verbosity=0)
    site_storage().put("reference.mp4", b"stands for a clip")
    make_round(int(os.environ["BENCH_PAIRS"]))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (FULL, ANALYZE)")
        cursor.execute(SIZES)
        sizes = {name: (total, table) for name, total, table in cursor.fetchall()}
        rows = []
        for name, (total, table) in sorted(sizes.items()):
            cursor.execute(f"SELECT count(*) FROM {name}")
            if count := cursor.fetchone()[0]:
                rows.append(
                    {
                        "table": name,
                        "rows": count,
                        "bytes_per_row": round(total / count),
                        "without_indexes": round(table / count),
                    }
                )
    print(json.dumps(rows))


def make_round(pairs: int) -> None:
    """A round whose videos are made and whose every slot is judged."""
    from annotate.models import Round, RoundState
    from annotate.rounds.rounds import open_ready_pairs
    from bench import fleet_site

    round, run = fleet_site.queue_videos("sizes", 2 * pairs)
    make_people(pairs)
    note_made(run)
    open_ready_pairs(round)
    Round.objects.filter(pk=round.pk).update(state=RoundState.OPEN)
    judge(round)


def text() -> str:
    return "".join(_CHANCE.choices(ascii_lowercase + " ", k=LETTERS))


def make_people(count: int) -> None:
    """So many people, references and prompts beside those of the round."""
    from annotate.models import DifferentialPrompt, IdentityGroup, Reference
    from generator.records import ELEMENTS

    box = {"left": 412.5, "top": 101.25, "width": 260.75, "height": 310.5}
    groups = IdentityGroup.objects.bulk_create(
        IdentityGroup(name=f"person-{number:06d}", source="PortraitGala", licence="CC BY 4.0")
        for number in range(count)
    )
    Reference.objects.bulk_create(
        Reference(
            group=group,
            kind="clip",
            source_name="clip-0001.mp4",
            source_sha256=uuid4().hex * 2,
            sha256=(sha256 := uuid4().hex * 2),
            path=f"references/{sha256[:32]}/media.mp4",
            poster=f"references/{sha256[:32]}/poster.jpg",
            width=1280,
            height=704,
            num_frames=121,
            fps=24,
            size_bytes=12_345_678,
            facts={"codec": "h264", "duration_s": 5.04},
            elements={element: text() for element in ELEMENTS},
            boxes={"face": box, "human": box | {"is_estimated": False}},
            quality=dict.fromkeys(("sharpness", "face", "yaw", "pitch", "motion", "exposure"), 0.123456),
            curation="done",
        )
        for group in groups
    )
    DifferentialPrompt.objects.bulk_create(
        DifferentialPrompt(
            text=text() + text(),
            method="a language model",
            elements=[
                {
                    "element": element,
                    "primary": text(),
                    "target": text(),
                    "changed": True,
                    "statement": text(),
                }
                for element in ELEMENTS
            ],
        )
        for _ in range(count)
    )


def note_made(run: Any) -> None:
    """As the reports of workers would: facts of videos, and shards that are done."""
    from annotate.jobs import shards
    from annotate.models import Shard, VideoSample

    shards.split_run(run, range(2, VideoSample.objects.count() + 1, 2), shards.SHARD_S / 4)
    Shard.objects.update(
        status="done",
        made=4,
        seconds=345.6,
        ticket=uuid4(),
        claim=uuid4(),
        worker="gpu-3@gpu-machine-17.example.org",
        device="NVIDIA H200",
        software="0.1.0",
        facts={"precision": "bfloat16"},
        sent_at="2030-01-01T00:00:00Z",
        started_at="2030-01-01T00:00:00Z",
        heartbeat_at="2030-01-01T00:00:00Z",
        ended_at="2030-01-01T00:00:00Z",
    )
    for sample in VideoSample.objects.all():
        name = f"{sample.pk}.mp4"
        sample.path, sample.shown_path = (f"{run.folder}/{kind}/{name}" for kind in ("samples", "shown"))
        sample.sha256, sample.facts = uuid4().hex * 2, FACTS
        sample.save()


def judge(round: Any) -> None:
    """Every slot, by the services of the judging page."""
    from annotate.judging.judgments import submit_judgment
    from annotate.judging.slots import lease_slot
    from annotate.models import User
    from rlhf.records import Track, choice_of

    people = [User.objects.create(username=f"annotator-{number}") for number in range(ANNOTATORS)]
    verdicts = cycle(VERDICTS)
    for number, person in enumerate(people):
        track = Track.IDENTITY if number % 2 else Track.CONTROLLABILITY
        while (slot := lease_slot(person, track)) is not None:
            assert slot.lease is not None
            choice = choice_of(next(verdicts), first_on_left=slot.first_on_left)
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), evidence=EVIDENCE)


if __name__ == "__main__":
    inside() if sys.argv[1:] == ["inside"] else main(sys.argv[1:])
