"""A run of the fleet under everything that can go wrong, and what must hold afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis

from bench.fleet_site import STORAGE, FleetSite, queue_videos, wait_until

#: Honest workers; beside them comes one with a wrong clock and one of another version.
WORKERS, VIDEOS = 8, 160
KILL_EVERY_S, KILLS, SKEW_S = 3.0, 12, 7200.0
#: When the broker and the S3 server are killed, and for how long each is away before it starts again.
BROKER_AFTER_S, STORAGE_AFTER_S, AWAY_S = 12.0, 22.0, 3.0
#: How often messages are taken out of the queues, to be put back twice and in another order.
SHUFFLE_EVERY_S = 0.5


def endure(site: FleetSite) -> dict[str, Any]:
    """Make videos while workers, broker and S3 server are killed, and messages doubled and reordered."""
    site.start_workers(WORKERS)
    site.start_worker(WORKERS, "--skew", str(SKEW_S))
    site.start_worker(WORKERS + 1, "--software", "9.9.9")
    round, run = queue_videos("faults", VIDEOS)
    is_over, log = threading.Event(), Log()
    shuffling = threading.Thread(target=_shuffle_messages, args=[site, is_over, log])
    shuffling.start()
    began = time.monotonic()
    try:
        _trouble(site, run, log)
    finally:
        is_over.set()
        shuffling.join()
    spent = time.monotonic() - began
    recovery = _recovery(site)
    facts = _check(site, round, run)
    family = site.family()
    site.stop_workers()
    return {
        "workers": WORKERS + 2,
        "videos": VIDEOS,
        "seconds": spent,
        "killed": log.killed,
        "broker_restarts": log.restarts["redis"],
        "storage_restarts": log.restarts[STORAGE],
        "doubled": log.doubled,
        **recovery,
        **facts,
        "left_running": sum(process.is_running() for process in family),
    }


class Log:
    """What was done to the fleet."""

    def __init__(self) -> None:
        self.killed = self.doubled = 0
        self.restarts: Counter[str] = Counter()
        #: Delivery tags of messages that were doubled, or were spared.
        self.seen: set[str] = set()


def _trouble(site: FleetSite, run: Any, log: Log) -> None:
    """Send a run, and kill workers, the broker and the S3 server until it ends.

    All in this thread: the kernel ends what a thread started together with it.
    """
    from annotate.jobs.tasks import send_run

    chance, next_kill = random.Random(0), time.monotonic() + KILL_EVERY_S
    began = time.monotonic()
    ends = {"redis": began + BROKER_AFTER_S, STORAGE: began + STORAGE_AFTER_S}
    send_run(run)

    def is_over() -> bool:
        nonlocal next_kill
        if time.monotonic() > next_kill and log.killed < KILLS:
            number = chance.randrange(WORKERS)
            site.kill_worker(number)
            site.restart_worker(number)
            log.killed += 1
            next_kill = time.monotonic() + KILL_EVERY_S
        for service, end in ends.items():
            if time.monotonic() > end and not log.restarts[service]:
                _restart(site, service)
                log.restarts[service] += 1
        run.refresh_from_db()
        return not run.is_live

    wait_until(is_over, f"the end of {run}", 400)


def _restart(site: FleetSite, name: str) -> None:
    """Kill a service and start it again. What it has not handed to the system by then is lost."""
    service = site.services[name]
    assert service.process is not None
    os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
    time.sleep(AWAY_S)
    service.process = None
    service.start()


def _shuffle_messages(site: FleetSite, is_over: threading.Event, log: Log) -> None:
    """Take what waits in a queue, and put it back twice in any order."""
    chance = random.Random(1)
    while not is_over.wait(SHUFFLE_EVERY_S):
        for queue in ("fleet", "gpu"):
            with suppress(redis.RedisError):
                _shuffle(site.broker, queue, chance, log)


def _shuffle(broker: redis.Redis, queue: str, chance: random.Random, log: Log) -> None:
    taken = []
    while (message := broker.rpop(queue)) is not None:
        taken.append(message)
        tag = json.loads(message)["properties"]["delivery_tag"]
        # Each once: what waits is met here again and again.
        if tag not in log.seen and chance.random() < 0.5:
            copy = f"copy-{uuid4()}"
            taken.append(_copy(message, copy))
            log.seen.add(copy)
            log.doubled += 1
        log.seen.add(tag)
    chance.shuffle(taken)
    for message in taken:
        broker.lpush(queue, message)


def _copy(message: bytes, tag: str) -> bytes:
    """The same message with a delivery tag of its own, as a broker that delivers twice would make."""
    values = json.loads(message)
    values["properties"]["delivery_tag"] = tag
    return json.dumps(values).encode()


def _recovery(site: FleetSite) -> dict[str, float]:
    """Seconds from the kill of a worker until its shard is taken up, by it started again or by another."""
    found = {"recovery_s": _recover(site, 0, "recovery", comes_again=True)}
    found["recovery_by_another_s"] = _recover(site, 1, "recovery by another", comes_again=False)
    site.workers.pop(1)
    return found


def _recover(site: FleetSite, number: int, name: str, *, comes_again: bool) -> float:
    from annotate.jobs.tasks import send_run
    from annotate.models import Shard

    _, run = queue_videos(name, 6 * WORKERS)
    send_run(run)
    mine = Shard.objects.filter(run=run, status="running", made__gt=0, worker__startswith=f"gpu-{number}@")
    wait_until(mine.exists, f"a shard of worker {number}", 60)
    lost = mine.get()
    site.kill_worker(number)
    began = time.monotonic()
    if comes_again:
        site.restart_worker(number)

    def is_taken_up() -> bool:
        now = Shard.objects.get(pk=lost.pk)
        return now.status == "done" or now.status == "running" and now.claim != lost.claim

    wait_until(is_taken_up, "another worker", 180)
    spent = time.monotonic() - began
    _wait_for(run)
    return spent


def _wait_for(run: Any) -> None:
    def is_over() -> bool:
        run.refresh_from_db()
        return not run.is_live

    wait_until(is_over, f"the end of {run}", 300)


def _check(site: FleetSite, round: Any, run: Any) -> dict[str, Any]:
    """Every video once, every pair open once, nothing under way."""
    from django.db.models import Count

    from annotate.models import LIVE_SHARDS, Run, Shard, Slot, VideoSample
    from annotate.storage.opening import site_storage

    made = VideoSample.objects.filter(pairs_as_first__round=round) | VideoSample.objects.filter(
        pairs_as_second__round=round
    )
    storage = site_storage()

    def sha256(key: str) -> str:
        return hashlib.sha256(b"".join(storage.stream(key))).hexdigest()

    wrong = [one.pk for one in made if not one.path or sha256(one.path) != one.sha256]
    slots = Slot.objects.filter(round=round).values("pair").annotate(number=Count("id"))
    wanted = 2 * round.votes_wanted
    wait_until(lambda: not site.broker.llen("fleet"), "an empty queue of reports", 60)
    return {
        "status": run.status,
        "videos_missing_or_altered": len(wrong),
        "files": sum(1 for _ in storage.list(f"{run.folder}/samples")),
        "pairs_not_opened_once": round.pairs.count() - sum(one["number"] == wanted for one in slots),
        "live_shards": Shard.objects.filter(status__in=LIVE_SHARDS).count(),
        "live_runs": sum(one.is_live for one in Run.objects.all()),
    }
