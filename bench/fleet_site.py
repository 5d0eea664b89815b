"""The site of `bench.fleet`: PostgreSQL, Redis, an S3 server, the site's own worker and beat, GPU workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import redis
import requests

from bench.fleet_sampler import CLIP, SECONDS
from tests.object_store import BUCKET, CREDENTIALS, ObjectStore, free_ports

if TYPE_CHECKING:
    from annotate.models import Round, Run
    from annotate.supervisor.processes import Child

#: Seconds that a shard should take here: five minutes would make a benchmark of an hour.
SHARD_S = 8.0
#: The service that is the S3 server.
STORAGE = "storage"


@dataclass
class FleetSite:
    """What runs, and where."""

    folder: Path
    services: dict[str, Child]
    broker: redis.Redis
    #: Where the S3 server tells what it was asked for.
    traffic: str
    workers: dict[int, Child] = field(default_factory=dict)

    def start_workers(self, count: int) -> None:
        """Start GPU workers, and return once each takes messages."""
        for number in range(count):
            self.start_worker(number)
        wait_until(lambda: self.listening() >= len(self.workers), "workers that listen", 60 + 10 * count)

    def start_worker(self, number: int, *options: str) -> None:
        from annotate.supervisor.processes import Child, Command

        # It has the broker, the storage and the key, and nothing else of the site.
        own = f"VAR_DIR={self.folder / 'machines' / str(number)}"
        alone = ["env", "-u", "DATABASE_URL", "-u", "SECRET_KEY", own]
        argv = [*alone, sys.executable, "-m", "bench.fleet_worker", str(number), *options]
        child = Child(Command(f"gpu-{number}", argv, patience_s=20), self.folder, is_quiet=True)
        self.workers[number] = child
        child.start()

    def listening(self) -> int:
        """GPU workers that have said hello, by the log of the site: their control queues exist."""
        bound = self.broker.smembers("_kombu.binding.celery.pidbox")
        return sum(b"gpu-" in name for name in bound)

    def stop_workers(self) -> None:
        for child in self.workers.values():
            child.ask_to_stop()
        for child in self.workers.values():
            child.stop()
        self.workers.clear()
        self.broker.delete("_kombu.binding.celery.pidbox")

    def kill_worker(self, number: int) -> None:
        """As a machine that loses its power: the worker and its sampler at once."""
        process = self.workers[number].process
        assert process is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.workers[number].process = None

    def restart_worker(self, number: int) -> None:
        """As its supervisor would, a second later."""
        time.sleep(1.0)
        self.workers[number].start()

    def cpu_s(self, *names: str) -> float:
        """Seconds of CPU that these services have used, with all their processes."""
        return sum(_cpu_s(self.services[name]) for name in names)

    def storage_traffic(self) -> tuple[int, int]:
        """Requests that the S3 server was given so far, and bytes of objects that came in and went out."""
        lines = requests.get(self.traffic, timeout=10).text.splitlines()

        def total(*names: str) -> int:
            return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(names))

        sent, received = (f"SeaweedFS_s3_bucket_traffic_{way}_bytes_total" for way in ("sent", "received"))
        return total("SeaweedFS_s3_request_total"), total(sent, received)

    def family(self) -> list[psutil.Process]:
        """Every process of the GPU workers."""
        leaders = [child.process for child in self.workers.values() if child.is_running]
        found = [psutil.Process(process.pid) for process in leaders if process is not None]
        return [*found, *(child for leader in found for child in leader.children(recursive=True))]


@contextmanager
def running_site(seconds_per_video: float) -> Iterator[FleetSite]:
    """Everything but the web and the GPU workers, in a folder that is removed afterwards."""
    from annotate.supervisor.postgres import Postgres
    from annotate.supervisor.processes import Child, Command
    from annotate.supervisor.redis import Redis

    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    (folder / "s3").mkdir()
    postgres, broker, store = (
        Postgres(folder / "cluster"),
        Redis(folder / "redis"),
        ObjectStore(folder / "s3"),
    )
    postgres.prepare()
    broker.prepare()
    [metrics_port] = free_ports(1)
    services: dict[str, Child] = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def start(command: Command) -> None:
            services[command.name] = Child(command, folder, is_quiet=True)
            stack.callback(services[command.name].stop)
            services[command.name].start()

        start(Command("postgres", postgres.command(), signal.SIGINT))
        start(Command("redis", broker.command()))
        start(Command(STORAGE, [*store.command(), f"-metricsPort={metrics_port}"]))
        services_of = (postgres, broker, store)
        wait_until(lambda: all(one.is_ready() for one in services_of), "the services", 60)
        _set_up(folder, postgres, broker, store, seconds_per_video)
        from annotate.supervisor import programs

        start(programs.worker("worker", "default,fleet", 2))
        start(programs.beat())
        client = redis.Redis(unix_socket_path=str(broker.socket))
        site = FleetSite(folder, services, client, f"http://127.0.0.1:{metrics_port}/metrics")
        stack.callback(site.stop_workers)
        yield site


def _set_up(folder: Path, postgres: Any, broker: Any, store: ObjectStore, seconds_per_video: float) -> None:
    """Settings of production for this process and all that it starts, tables, and a clip."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": CREDENTIALS["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret_access_key"],
        "CELERY_BROKER_URL": f"redis+socket://{broker.socket}",
        "DATABASE_URL": postgres.url("postgres"),
        "DJANGO_SETTINGS_MODULE": "annotate.settings",
        "FLEET_KEY": "only for this benchmark, nobody else has it",
        "LOG_LEVEL": "WARNING",
        "SECRET_KEY": "only for this benchmark, nothing is signed",
        "STORAGE_URL": f"s3://{BUCKET}/site?endpoint={store.endpoint}&timeout=20",
        "VAR_DIR": str(folder),
        SECONDS: str(seconds_per_video),
        CLIP: str(folder / "clip.mp4"),
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    import numpy as np

    from annotate.jobs import shards
    from annotate.storage.opening import site_storage
    from generator.media.encoder import write_clip

    shards.SHARD_S = SHARD_S
    frames = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), np.uint8)
    write_clip(folder / "clip.mp4", frames, 8)
    site_storage().put("reference.mp4", folder / "clip.mp4")


def queue_videos(name: str, count: int, priority: int = 5) -> tuple[Round, Run]:
    """A round of so many videos, two for each of its pairs, and its queued run."""
    from annotate.models import ModelVersion, Round, VideoPair, VideoSample
    from annotate.rounds.sampling import queue_sampling
    from generator.records import SamplerSettings

    settings = SamplerSettings()
    policy, _ = ModelVersion.objects.get_or_create(
        name="stand-in", defaults={"kind": "sft", "base_model": "stand-in", "weights_sha256": "0" * 64}
    )
    round = Round.objects.create(name=name, policy=policy, sampler=vars(settings), priority=priority)
    instances = _instances(name, count // 2)
    samples = VideoSample.objects.bulk_create(
        VideoSample(
            instance=instance,
            model_version=policy,
            seed=seed,
            settings=vars(settings),
            settings_digest=settings.digest,
        )
        for instance in instances
        for seed in (0, 1)
    )
    VideoPair.objects.bulk_create(
        VideoPair(round=round, instance=first.instance, first=first, second=second)
        for first, second in zip(samples[::2], samples[1::2], strict=True)
    )
    run = queue_sampling(round)
    assert run is not None
    return round, run


def _instances(name: str, count: int) -> list[Any]:
    from django.utils import timezone

    from annotate.models import (
        DifferentialPrompt,
        IdentityGroup,
        Instance,
        InstanceReference,
        Reference,
        Use,
    )

    group = IdentityGroup.objects.create(
        name=name,
        source="bench",
        consent_uses=Use.values,
        consent_stated_in="bench",
        consent_stated_at=timezone.now(),
    )
    reference = Reference.objects.create(
        group=group,
        kind="clip",
        source_name="a",
        source_sha256=uuid4().hex,
        sha256=uuid4().hex,
        path="reference.mp4",
        poster="",
        width=64,
        height=64,
        num_frames=9,
        fps=8,
        size_bytes=1000,
        curation="done",
    )
    prompt = DifferentialPrompt.objects.create(text="The background changes.", elements=[], method="bench")
    instances = Instance.objects.bulk_create(
        Instance(group=group, prompt=prompt, digest=uuid4().hex) for _ in range(count)
    )
    InstanceReference.objects.bulk_create(
        InstanceReference(instance=instance, reference=reference, position=0) for instance in instances
    )
    return list(instances)


def _cpu_s(child: Child) -> float:
    assert child.process is not None
    leader = psutil.Process(child.process.pid)
    total = 0.0
    for process in (leader, *leader.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def wait_until(happened: Callable[[], bool], what: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:.0f} s in vain for {what}")
        time.sleep(0.05)
