"""GPU workers that take shards, as processes of their own. Their model is the stand-in of `bench.fleet`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from redis import Redis as Client

from annotate.fleet.messages import (
    REPORT_QUEUE,
    RUN_QUEUE,
    RUN_TASK,
    SHARD_QUEUE,
    SHARD_TASK,
    Kind,
    Report,
    RunMessage,
    seal,
)
from annotate.fleet.software import software_version
from annotate.jobs import runs
from annotate.models import RoundState, Run, RunStatus, Shard, Slot, VideoSample
from annotate.rounds.rounds import plan_pairs, set_round_state
from annotate.rounds.sampling import queue_sampling
from bench.fleet_sampler import CLIP, SECONDS
from tests.annotate.live_site import KEY, PATIENCE_S, LiveSite, wait_until
from tests.factories import make_instance, make_model, make_round, make_user, write_test_clip

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LiveSite]:
    clip, _ = write_test_clip()
    stand_in = {SECONDS: "1.0", CLIP: str(settings.STORAGE_ROOT / clip)}
    site = LiveSite(tmp_path, STORAGE_URL=settings.STORAGE_ROOT.as_uri(), **stand_in)
    site.start_site()
    yield site
    site.end()


def start_gpu_worker(site: LiveSite, number: int) -> psutil.Process:
    return site.start_python(f"gpu-{number}", "-m", "bench.fleet_worker", str(number))


def sampling_run(num_pairs: int) -> Run:
    round = make_round(policy=make_model(base_model="a stand-in"))
    plan_pairs(round, [make_instance(num_references=1) for _ in range(num_pairs)])
    run = queue_sampling(round)
    assert run is not None
    return run


def made(run: Run) -> int:
    return VideoSample.objects.filter(path__startswith=run.folder).count()


def status(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


def test_a_worker_without_a_database_makes_a_run_and_hands_back_what_it_is_told_to(site):
    first = start_gpu_worker(site, 0)
    run = sampling_run(3)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(run) >= 1, "a first video")

    # SIGTERM: the shard is back at once, and what is finished is kept.
    first.send_signal(signal.SIGTERM)
    first.wait(PATIENCE_S)
    wait_until(lambda: Shard.objects.get().status in ("queued", "sent"), "the shard to be handed back")
    shard = Shard.objects.get()
    assert (shard.attempts, shard.error) == (0, "") and 1 <= made(run) < 6

    start_gpu_worker(site, 1)
    wait_until(lambda: status(run) == RunStatus.DONE, "the end of the run")
    assert made(run) == 6 and Slot.objects.count() == 3 * 2
    shard.refresh_from_db()
    assert shard.worker.startswith("gpu-1@") and shard.device == "stand-in"

    # Cancelled from the site: the worker hears it, and lives on.
    second = sampling_run(20)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(second) >= 1, "a video of the second run")
    assert runs.cancel_run(Run.objects.get(pk=second.pk))
    wait_until(lambda: status(second) == RunStatus.CANCELLED, "the end of the second run")

    # Killed without a word: what it had begun is taken up as soon as one of its name is there again.
    third = sampling_run(3)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(third) >= 1, "a video of the third run")
    killed = site.started[-1]
    for process in [killed, *killed.children(recursive=True)]:
        process.kill()
    killed.wait()
    start_gpu_worker(site, 1)
    wait_until(lambda: status(third) == RunStatus.DONE, "the end of the third run")
    assert made(third) == 6 and Shard.objects.get(run=third).attempts == 1
    assert not any("DATABASE_URL" in process.environ() for process in [first, killed] if process.is_running())


def test_a_whole_run_is_handed_back_and_goes_on_elsewhere(site):
    given, _ = write_test_clip()
    request = {"given": f"../../../{given}", "count": 200}
    run = runs.queue_run(make_round(), "dpo", lambda folder: request, actor=None)
    message = RunMessage(
        run=run.pk,
        ticket="t",
        folder=run.folder,
        command="tests.annotate.jobs.counting_stage",
        software=software_version(),
    )

    def lines() -> int:
        return run.metrics.count()

    # SIGTERM: the run is back at once, and what is finished is kept.
    worker = site.start_python("one", "-m", "annotate.fleet", "--serve", "runs")
    site.send(RUN_TASK, RUN_QUEUE, seal(KEY, message))
    wait_until(lambda: lines() >= 3, "a few lines")
    worker.send_signal(signal.SIGTERM)
    worker.wait(PATIENCE_S)
    wait_until(lambda: status(run) == RunStatus.QUEUED, "the run to be handed back")
    before = lines()

    # Another worker goes on, until the round is paused; then it takes the next message.
    site.start_python("other", "-m", "annotate.fleet", "--serve", "runs")
    site.send(RUN_TASK, RUN_QUEUE, seal(KEY, message))
    wait_until(lambda: lines() >= before + 3, "more lines")
    set_round_state(run.round, RoundState.PAUSED, make_user())
    wait_until(lambda: status(run) == RunStatus.QUEUED, "the run to be handed back again")
    set_round_state(run.round, RoundState.OPEN, make_user())
    before = lines()
    site.send(RUN_TASK, RUN_QUEUE, seal(KEY, message))
    wait_until(lambda: lines() >= before + 3, "still more lines")
    assert runs.cancel_run(Run.objects.get(pk=run.pk))
    wait_until(lambda: status(run) == RunStatus.CANCELLED, "the end of the run")
    made = [line["number"] for line in run.metrics.values_list("values", flat=True)]
    assert made == list(range(len(made))) and Run.objects.get(pk=run.pk).attempts <= 1


def test_forged_messages_are_refused_in_a_line_by_both_sides(site):
    start_gpu_worker(site, 0)
    report = Report(kind=Kind.HELLO, worker="gpu-0@here", claim="c")
    site.send("annotate.jobs.tasks.take_report", REPORT_QUEUE, seal("another key" * 4, report))
    site.send(SHARD_TASK, SHARD_QUEUE, "no signature at all")
    for name in ("site", "gpu-0"):
        wait_until(lambda name=name: "signature is wrong" in site.log(name), f"a line in the log of {name}")
    # The worker's own reports pass through, so the queues are empty only in between.
    with Client(unix_socket_path=str(site.redis.socket)) as client:
        wait_until(lambda: client.llen(SHARD_QUEUE) == client.llen(REPORT_QUEUE) == 0, "empty queues")
    assert [site.log(name).count("signature is wrong") for name in ("site", "gpu-0")] == [1, 1], "come again"


def test_one_command_keeps_a_process_for_each_device_and_ends_them_all(site):
    program = site.start_python("fleet", "-m", "annotate.fleet")

    def serving(what: str) -> list[psutil.Process]:
        living = [child for child in program.children() if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in living if child.cmdline()[-2:] == ["--serve", what]]

    wait_until(lambda: bool(serving("cpu") and serving("runs")), "one for the device, and one for whole runs")
    (first,) = serving("cpu")
    first.kill()
    wait_until(lambda: bool(serving("cpu")) and serving("cpu")[0] != first, "another one in its place")
    for name in ("gpu-cpu@", "runs@"):
        wait_until(lambda name=name: name in str(listening(site)), f"the control queue of {name}")
    family = [program, *program.children(recursive=True)]
    program.send_signal(signal.SIGTERM)
    assert psutil.wait_procs(family, PATIENCE_S)[1] == []
    assert "starting it again in 1 s" in site.log("fleet")


def listening(site: LiveSite) -> set[bytes]:
    with Client(unix_socket_path=str(site.redis.socket)) as client:
        return set(client.smembers("_kombu.binding.celery.pidbox"))
