"""How fast people can be given pairs and give votes: lease and submit, on a PostgreSQL of its own.

Only the services and the database are measured; HTTP and pages come on top. Every cycle is one lease and
one submit; statements are counted, over-assignments and lost votes are looked for.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

PAIRS = 2_000
VOTES_A_TRACK = 3
ANNOTATORS = (1, 8, 32)
CYCLES = 600
OUTPUT = Path("var/bench/votes.json")


def main() -> None:
    with _database():
        rows = [_measure(count) for count in ANNOTATORS]
    print(" ".join(f"{name:>18}" for name in rows[0]))
    for row in rows:
        print(" ".join(f"{round(value, 1):>18}" for value in row.values()))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"written to {OUTPUT}")


@contextmanager
def _database() -> Iterator[None]:
    """A durable PostgreSQL in a temporary folder, filled with pairs; Django is set up after it."""
    from annotate.supervisor.postgres import Postgres
    from annotate.supervisor.processes import Child, Command

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    server = Postgres(folder / "cluster")
    server.prepare()
    child = Child(Command("postgres", server.command(), signal.SIGINT), folder, is_quiet=True)
    child.start()
    try:
        while not server.is_ready():
            time.sleep(0.05)
        os.environ |= {
            "DATABASE_URL": server.url("postgres"),
            "DJANGO_SETTINGS_MODULE": "annotate.settings",
            "SECRET_KEY": "only for this benchmark, nothing is signed",
            "VAR_DIR": str(folder),
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        _fill()
        yield
    finally:
        child.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fill() -> None:
    from annotate.models import (
        DifferentialPrompt,
        IdentityGroup,
        Instance,
        ModelVersion,
        Round,
        Slot,
        VideoPair,
        VideoSample,
    )
    from rlhf.records import Track

    policy = ModelVersion.objects.create(name="bench", kind="sft", base_model="none", weights_sha256="0")
    round = Round.objects.create(name="bench", policy=policy, sampler={}, votes_wanted=VOTES_A_TRACK)
    group = IdentityGroup.objects.create(name="somebody", source="bench")
    prompt = DifferentialPrompt.objects.create(text="", elements=[], method="bench")
    instances = Instance.objects.bulk_create(
        Instance(group=group, prompt=prompt, digest=str(number)) for number in range(PAIRS)
    )
    samples = VideoSample.objects.bulk_create(
        VideoSample(
            instance=instance,
            model_version=policy,
            seed=seed,
            settings={},
            settings_digest="",
            path="x",
            sha256="x",
        )
        for instance in instances
        for seed in (0, 1)
    )
    pairs = VideoPair.objects.bulk_create(
        VideoPair(round=round, instance=instance, first=first, second=second)
        for instance, first, second in zip(instances, samples[::2], samples[1::2], strict=True)
    )
    Slot.objects.bulk_create(
        Slot(pair=pair, track=track, ordinal=ordinal)
        for pair in pairs
        for track in Track
        for ordinal in range(VOTES_A_TRACK)
    )


def _measure(count: int) -> dict[str, Any]:
    from django.db import connection

    from annotate.models import Judgment, Slot, User
    from annotate.services.judgments import submit_judgment
    from annotate.services.slots import lease_slot
    from rlhf.records import Track

    people = [User.objects.create(username=f"{count}-{number}") for number in range(count)]
    before = Judgment.objects.count()
    times: list[float] = []
    statements = 0
    lock = threading.Lock()

    def work(person: User) -> None:
        nonlocal statements
        spent, asked = [], 0

        def note(execute: Any, *arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return execute(*arguments)

        with connection.execute_wrapper(note):
            for cycle in range(CYCLES // count):
                start = time.perf_counter()
                slot = lease_slot(person, tuple(Track)[cycle % 2])
                if slot is None or slot.lease is None:
                    raise RuntimeError(f"{person} was given nothing although {PAIRS} pairs are there")
                submit_judgment(person, slot.lease, "left", idempotency_key=uuid4())
                spent.append(1000 * (time.perf_counter() - start))
        connection.close()
        with lock:
            times.extend(spent)
            statements += asked

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - start
    cuts = quantiles(times, n=100)
    mine = Slot.objects.filter(annotator__in=people).exclude(judged_at=None)
    return {
        "annotators": count,
        "cycles_per_s": len(times) / wall_s,
        "p50_ms": cuts[49],
        "p95_ms": cuts[94],
        "statements_a_cycle": statements / len(times),
        "doubled": mine.count() - mine.values("pair", "annotator").distinct().count(),
        "lost": len(times) - (Judgment.objects.count() - before),
    }
