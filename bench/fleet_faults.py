"""A run of the fleet under everything that can go wrong, and what must hold afterwards."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis

from bench.fleet_site import FleetSite, queue_videos, wait_until

#: Honest workers; beside them comes one with a wrong clock and one of another version.
WORKERS, VIDEOS = 8, 160
KILL_EVERY_S, KILLS, SKEW_S = 3.0, 12, 7200.0
#: How often messages are taken out of the queues, to be put back twice and in another order.
SHUFFLE_EVERY_S = 0.5


def endure(site: FleetSite) -> dict[str, Any]:
    """Make videos while workers and the broker are killed, and messages doubled and reordered."""
    site.start_workers(WORKERS)
    site.start_worker(WORKERS, "--skew", str(SKEW_S))
    site.start_worker(WORKERS + 1, "--software", "9.9.9")
    round, run = queue_videos("faults", VIDEOS)
    is_over = threading.Event()
    log = Log()
    troubles = [
        threading.Thread(target=trouble, args=[site, is_over, log])
        for trouble in (_kill_workers, _restart_broker, _shuffle_messages)
    ]
    for trouble in troubles:
        trouble.start()
    began = time.monotonic()
    try:
        _wait(run)
    finally:
        is_over.set()
        for trouble in troubles:
            trouble.join()
    spent = time.monotonic() - began
    recovery = _recovery(site)
    facts = _check(site, round, run)
    site.stop_workers()
    return {
        "workers": WORKERS + 2,
        "videos": VIDEOS,
        "seconds": spent,
        "killed": log.killed,
        "broker_restarts": log.restarts,
        "doubled": log.doubled,
        **recovery,
        **facts,
        "left_running": len(site.family()),
    }


class Log:
    """What was done to the fleet."""

    def __init__(self) -> None:
        self.killed = self.restarts = self.doubled = 0


def _wait(run: Any) -> None:
    from bench.fleet import send_and_wait

    send_and_wait(run, 600)


def _kill_workers(site: FleetSite, is_over: threading.Event, log: Log) -> None:
    """SIGKILL to any worker and its sampler; it is started again by itself, as its supervisor would."""
    chance = random.Random(0)
    while log.killed < KILLS and not is_over.wait(KILL_EVERY_S):
        number = chance.randrange(WORKERS)
        site.kill_worker(number)
        site.workers[number].keep_alive()
        log.killed += 1
        is_over.wait(1.0)
        site.workers[number].keep_alive()
    while not is_over.wait(1.0):
        for child in site.workers.values():
            child.keep_alive()


def _restart_broker(site: FleetSite, is_over: threading.Event, log: Log) -> None:
    if is_over.wait(15.0):
        return
    broker = site.services["redis"]
    assert broker.process is not None
    broker.process.send_signal(signal.SIGKILL)
    broker.process.wait()
    is_over.wait(3.0)
    broker.process = None
    broker.start()
    log.restarts += 1


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
        taken += [message, _copy(message)] if chance.random() < 0.5 else [message]
    log.doubled += len(taken) - len(set(taken)) + sum(_is_copy(message) for message in taken)
    chance.shuffle(taken)
    for message in taken:
        broker.lpush(queue, message)


def _copy(message: bytes) -> bytes:
    """The same message with a delivery tag of its own, as a broker that delivers twice would make."""
    values = json.loads(message)
    values["properties"]["delivery_tag"] = f"copy-{uuid4()}"
    return json.dumps(values).encode()


def _is_copy(message: bytes) -> bool:
    return b'"delivery_tag": "copy-' in message


def _recovery(site: FleetSite) -> dict[str, float]:
    """From the kill of a worker until its shard is another's: of one that comes again, and of one that does not."""
    found = {}
    for name, comes_again in (("recovery_s", True), ("recovery_without_it_s", False)):
        _, run = queue_videos(name, 4 * WORKERS)
        from annotate.jobs.tasks import send_run
        from annotate.models import Shard

        send_run(run)
        shards = Shard.objects.filter(run=run, status="running", made__gt=0)
        wait_until(lambda: shards.filter(worker__startswith="gpu-0@").exists(), "a shard of worker 0", 60)
        lost = shards.filter(worker__startswith="gpu-0@").get()
        site.kill_worker(0)
        began = time.monotonic()
        if comes_again:
            site.workers[0].keep_alive()
            time.sleep(1.0)
            site.workers[0].keep_alive()

        def is_anothers() -> bool:
            now = Shard.objects.get(pk=lost.pk)
            return now.status == "done" or now.status == "running" and now.claim != lost.claim

        wait_until(is_anothers, "another worker", 180)
        found[name] = time.monotonic() - began
        _wait_for(run)
    site.workers.pop(0)
    return found


def _wait_for(run: Any) -> None:
    def is_over() -> bool:
        run.refresh_from_db()
        return not run.is_live

    wait_until(is_over, f"the end of {run}", 300)


def _check(site: FleetSite, round: Any, run: Any) -> dict[str, Any]:
    """Every video once, every pair open once, nothing under way."""
    from django.db.models import Count

    from annotate.models import LIVE_SHARDS, Run, Shard, Slot, VideoSample
    from generator.media import file_sha256

    made = VideoSample.objects.filter(pairs_as_first__round=round) | VideoSample.objects.filter(
        pairs_as_second__round=round
    )
    root = site.folder / "storage"
    wrong = [one.pk for one in made if not one.path or file_sha256(root / one.path) != one.sha256]
    slots = Slot.objects.filter(round=round).values("pair").annotate(number=Count("id"))
    wanted = 2 * round.votes_wanted
    wait_until(lambda: not site.broker.llen("fleet"), "an empty queue of reports", 60)
    return {
        "status": run.status,
        "videos_missing_or_altered": len(wrong),
        "files": sum(1 for _ in (root / run.folder / "samples").iterdir()),
        "pairs_not_opened_once": round.pairs.count() - sum(one["number"] == wanted for one in slots),
        "live_shards": Shard.objects.filter(status__in=LIVE_SHARDS).count(),
        "live_runs": sum(one.is_live for one in Run.objects.all()),
        "failed_attempts_noted": Shard.objects.filter(run=run).exclude(error="").count(),
    }
