"""Shards: split by speed, sent in turns, one attempt each at a time, whatever messages come late or twice."""

from __future__ import annotations

import itertools

import pytest
from django.conf import settings
from django.db.models.functions import Now

from annotate.fleet.messages import Kind, Report, seal
from annotate.jobs import run_workers, runs, shards, tasks
from annotate.models import IdentityGroup, Run, RunStatus, Shard, ShardStatus, Slot, VideoSample
from annotate.rounds import sampling
from annotate.rounds.rounds import plan_pairs, set_round_state
from annotate.rounds.sampling import queue_sampling, seconds_per_video
from annotate.storage.interface import StorageError
from tests.factories import make_instance, make_round
from tests.fleet import FleetWorker, messages

pytestmark = pytest.mark.django_db


def sampling_run(num_pairs: int = 2, **overrides) -> Run:
    round = make_round(**overrides)
    plan_pairs(round, [make_instance(num_references=1) for _ in range(num_pairs)])
    run = queue_sampling(round)
    assert run is not None
    return run


@pytest.fixture
def in_pairs(monkeypatch):
    split = shards.split_run
    monkeypatch.setattr(
        shards, "split_run", lambda run, count, seconds: split(run, count, shards.SHARD_S / 2)
    )


def status(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


# -- splitting and turns ----------------------------------------------------------------------------


def test_a_run_of_unknown_speed_is_one_shard():
    run = sampling_run(3)
    assert list(run.shards.values_list("number", "start", "stop")) == [(1, 0, 6)]


def test_every_device_that_is_there_has_a_part():
    run_workers.announce("runs@one", 1, "NVIDIA H200")
    run_workers.announce("runs@other", 2, "NVIDIA H200")
    shares = [(0, 2), (2, 4), (4, 6)]
    unknown = sampling_run(3)
    assert list(unknown.shards.values_list("start", "stop")) == shares
    known = sampling_run(3)
    Shard.objects.filter(run=known).delete()
    shards.split_run(known, [2, 4, 6], 1.0)
    assert list(known.shards.values_list("start", "stop")) == shares


def test_what_earlier_runs_took_makes_shards_of_five_minutes():
    worker = FleetWorker((sampling_run(2), messages())[1][0])
    for sample_id in worker.ids:
        assert worker.say(Kind.MADE, item=worker.bring_up(sample_id), seconds=80.0)
    round = make_round(policy=worker.shard.run.round.policy, sampler=worker.shard.run.round.sampler)
    plan_pairs(round, [make_instance(num_references=1) for _ in range(5)])
    run = queue_sampling(round)
    assert seconds_per_video(run) == 80.0
    assert [(shard.start, shard.stop) for shard in run.shards.all()] == [(0, 4), (4, 8), (8, 10)]


@pytest.mark.slow
def test_a_shard_that_takes_far_too_long_is_cut_so_that_others_can_help():
    run = sampling_run(10)
    worker = FleetWorker(messages()[0])
    assert worker.say(Kind.MADE, item=worker.bring_up(worker.ids[0]), seconds=80.0)
    assert not worker.say(Kind.MADE, item=worker.bring_up(worker.ids[1]), seconds=80.0)
    worker.say(Kind.BACK)
    parts = list(run.shards.values_list("number", "start", "stop", "made", "attempts"))
    assert parts == [
        (1, 0, 6, 2, 0),
        *((n, 4 * n - 2, 4 * n + 2, 0, 0) for n in (2, 3, 4)),
        (5, 18, 20, 0, 0),
    ]
    for message in messages():
        one = FleetWorker(message)
        for sample_id in one.ids[2:] if message.start == 0 else one.ids:
            assert one.say(Kind.MADE, item=one.bring_up(sample_id), seconds=80.0)
        one.say(Kind.ENDED, made=one.ids)
    assert status(run) == RunStatus.DONE and VideoSample.objects.exclude(path="").count() == 20


@pytest.mark.usefixtures("in_pairs")
def test_rounds_of_equal_priority_take_turns_and_urgent_ones_come_first():
    first, second, urgent = sampling_run(3), sampling_run(2), sampling_run(2, priority=9)
    order = [Shard.objects.get(pk=message.shard).run_id for message in messages()]
    turns = [first.pk, second.pk, first.pk, second.pk, first.pk]
    assert order == [urgent.pk, urgent.pk, *turns]


@pytest.mark.usefixtures("in_pairs")
def test_few_messages_wait_with_the_broker():
    sampling_run(20)
    assert shards.room_with_the_broker() == shards.FEWEST_WAITING
    sent = messages(shards.FEWEST_WAITING)
    assert len(sent) == shards.FEWEST_WAITING and shards.room_with_the_broker() == 0
    for message in sent:
        FleetWorker(message).say(Kind.BEGUN)
    assert shards.room_with_the_broker() == shards.FEWEST_WAITING


# -- work -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_pairs")
def test_pairs_open_as_soon_as_both_videos_are_there_whichever_shard_made_them():
    run = sampling_run(1)
    Shard.objects.filter(run=run).update(stop=1)
    Shard.objects.create(run=run, number=2, start=1, stop=2)
    one, other = (FleetWorker(message) for message in messages())
    assert one.say(Kind.BEGUN) and other.say(Kind.BEGUN) and status(run) == RunStatus.RUNNING
    assert one.make(one.ids[0]) and not Slot.objects.exists()
    assert other.make(other.ids[0]) and Slot.objects.count() == 2
    one.say(Kind.ENDED, made=one.ids)
    assert status(run) == RunStatus.RUNNING
    other.say(Kind.ENDED, made=other.ids)
    run.refresh_from_db()
    assert run.status == RunStatus.DONE and len(run.result["samples"]) == 2
    assert runs.run_dir(run).read_result() == run.result


def test_a_file_that_does_not_decode_is_no_sample():
    sampling_run()
    worker = FleetWorker(messages()[0])
    sample_id = worker.bring_up(worker.ids[0])
    (runs.run_dir(worker.shard.run).path / "samples" / f"{sample_id}.mp4").write_bytes(b"no video")
    worker.say(Kind.MADE, item=sample_id)
    sample = VideoSample.objects.get(pk=sample_id)
    assert not sample.path and "unsupported" in sample.error and worker.shard.made == 0


def test_what_could_not_be_made_is_told_and_can_be_tried_again():
    run = sampling_run()
    worker = FleetWorker(messages()[0])
    *made, lost = worker.ids
    for sample_id in made:
        worker.make(sample_id)
    worker.say(Kind.ENDED, made=made, failed=[{"sample_id": lost, "error": "the reference cannot be read"}])
    assert status(run) == RunStatus.DONE
    assert VideoSample.objects.get(pk=lost).error == "the reference cannot be read"
    assert queue_sampling(run.round) is None
    assert queue_sampling(run.round, retry_failed=True) is not None


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_reports_may_come_twice_and_in_any_order(order):
    run = sampling_run(1)
    worker = FleetWorker(messages()[0])
    first, second = (worker.bring_up(sample_id) for sample_id in worker.ids)
    said = [
        (Kind.BEGUN, {}),
        (Kind.MADE, {"item": first, "seconds": 2.0}),
        (Kind.MADE, {"item": second, "seconds": 2.0}),
        (Kind.ENDED, {"made": [first, second]}),
    ]
    for number in order + order[::-1]:
        kind, values = said[number]
        worker.say(kind, **values)
    shard = worker.shard
    assert (shard.status, shard.made, shard.attempts, status(run)) == ("done", 2, 1, "done")
    assert Slot.objects.count() == 2


def test_of_two_workers_with_one_message_the_first_has_it():
    sampling_run()
    message = messages()[0]
    first, second = FleetWorker(message), FleetWorker(message)
    assert first.say(Kind.BEGUN) and not second.say(Kind.BEGUN)
    assert first.say(Kind.ALIVE) and not second.say(Kind.ALIVE)
    second.say(Kind.FAILED, error="late")
    second.say(Kind.ENDED)
    assert (first.shard.status, first.shard.attempts) == (ShardStatus.RUNNING, 1)


# -- what goes wrong --------------------------------------------------------------------------------


def lose(worker: FleetWorker) -> None:
    Shard.objects.filter(pk=worker.message.shard).update(heartbeat_at=Now() - 2 * shards.LOST_AFTER)
    shards.requeue_lost(messages=0)


def test_a_lost_worker_costs_the_video_under_way_and_is_heard_no_more():
    sampling_run()
    lost = FleetWorker(messages()[0])
    lost.make(lost.ids[0])
    lose(lost)
    assert "lost" in lost.shard.error and lost.shard.status == ShardStatus.QUEUED
    next_one = FleetWorker(messages()[0])
    assert next_one.say(Kind.BEGUN) and not lost.say(Kind.ALIVE)
    assert lost.shard.made == 1
    assert not lost.make(lost.ids[1])
    assert VideoSample.objects.exclude(path="").count() == 2, "what it made is there all the same"


def test_three_attempts_without_a_video_are_the_end_and_a_video_counts_anew():
    run = sampling_run()
    for attempt in range(1, 4):
        worker = FleetWorker(messages()[0])
        worker.say(Kind.BEGUN)
        assert worker.shard.attempts == attempt
        if attempt == 3:
            worker.make(worker.ids[0])
        worker.say(Kind.FAILED, error="gpu-0@here: memory ran out")
    assert worker.shard.status == ShardStatus.QUEUED and worker.shard.attempts == 1
    for _ in range(2):
        lose(FleetWorker(message := messages()[0]))
        FleetWorker(message).say(Kind.BEGUN)
        lose(FleetWorker(message))
    runs.conclude_run(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and "shard 1: its worker was lost" in run.error
    assert runs.retry_run(run)
    assert FleetWorker(messages()[0]).say(Kind.BEGUN) and status(run) == RunStatus.RUNNING


def test_handing_back_is_no_attempt_and_says_why():
    sampling_run()
    for _ in range(5):
        worker = FleetWorker(messages()[0])
        worker.say(Kind.BEGUN)
        worker.say(Kind.BACK, error="gpu-0@here has no model /models/x")
    shard = worker.shard
    assert (shard.status, shard.attempts) == (ShardStatus.QUEUED, 0) and "no model" in shard.error


def test_a_process_that_comes_again_frees_what_it_had_begun():
    sampling_run()
    worker = FleetWorker(messages()[0])
    worker.say(Kind.BEGUN)
    worker.say(Kind.HELLO)
    assert worker.shard.status == ShardStatus.RUNNING, "its own hello may come late"
    FleetWorker(worker.message).say(Kind.HELLO)
    assert worker.shard.status == ShardStatus.QUEUED


def test_a_lost_message_is_sent_again_and_one_that_waits_is_not():
    sampling_run()
    message = messages()[0]
    Shard.objects.update(sent_at=Now() - 2 * shards.UNCLAIMED_AFTER)
    shards.requeue_lost(messages=1)
    assert messages() == []
    shards.requeue_lost(messages=0)
    again = messages()[0]
    assert again.ticket != message.ticket
    assert not FleetWorker(message).say(Kind.BEGUN) and FleetWorker(again).say(Kind.BEGUN)


def fail_once(monkeypatch, owner: object, name: str) -> None:
    """As a storage that is away for a moment."""
    does = getattr(owner, name)

    def fails(*arguments: object) -> None:
        monkeypatch.setattr(owner, name, does)
        raise StorageError("s3://bucket: the server cannot be reached")

    monkeypatch.setattr(owner, name, fails)


def test_a_shard_is_not_sent_while_its_request_cannot_be_read(monkeypatch):
    sampling_run()
    fail_once(monkeypatch, runs, "read_request")
    with pytest.raises(StorageError):
        messages()
    assert Shard.objects.get().status == ShardStatus.QUEUED and len(messages()) == 1


def test_a_report_outlives_a_storage_that_fails(monkeypatch):
    run = sampling_run(1)
    worker = FleetWorker(messages()[0])
    for sample_id in worker.ids:
        worker.bring_up(sample_id)
        done = 1 + worker.ids.index(sample_id)
        made = Report(kind=Kind.MADE, item=sample_id, done=done, seconds=2.0, **worker.header)
        fail_once(monkeypatch, sampling, "_facts_of")
        tasks.take_report.apply([seal(settings.FLEET_KEY, made)])
    assert VideoSample.objects.exclude(path="").count() == 2 and Slot.objects.exists()
    assert worker.shard.made == 2 and status(run) == RunStatus.RUNNING


def test_a_run_whose_result_could_not_be_stored_ends_later(monkeypatch):
    run = sampling_run(1)
    worker = FleetWorker(messages()[0])
    for sample_id in worker.ids:
        worker.make(sample_id)
    fail_once(monkeypatch, runs, "store_result")
    with pytest.raises(StorageError):
        worker.say(Kind.ENDED, made=worker.ids)
    assert status(run) == RunStatus.RUNNING and worker.shard.status == ShardStatus.DONE
    worker.say(Kind.ENDED, made=worker.ids)
    assert status(run) == RunStatus.RUNNING, "its shard has ended already"
    assert runs.unconcluded_runs() == [run.pk]
    runs.conclude_run(run.pk)
    assert status(run) == RunStatus.DONE and runs.unconcluded_runs() == []


# -- cancel, pause, retry ---------------------------------------------------------------------------


@pytest.mark.usefixtures("in_pairs")
def test_cancel_reaches_every_shard_and_retry_goes_on():
    run = sampling_run(3)
    done, working = (FleetWorker(message) for message in messages(2))
    for sample_id in done.ids:
        done.make(sample_id)
    done.say(Kind.ENDED, made=done.ids)
    working.say(Kind.BEGUN)
    assert runs.cancel_run(run)
    assert status(run) == RunStatus.CANCELLING and not runs.cancel_run(run)
    assert not working.say(Kind.ALIVE)
    working.say(Kind.BACK)
    assert status(run) == RunStatus.CANCELLED
    assert sorted(run.shards.values_list("status", flat=True)) == ["cancelled", "cancelled", "done"]
    assert messages() == []
    run.refresh_from_db()
    assert runs.retry_run(run) and len(messages()) == 2


def test_a_cancelled_run_whose_worker_is_lost_ends_too():
    run = sampling_run()
    worker = FleetWorker(messages()[0])
    worker.say(Kind.BEGUN)
    runs.cancel_run(run)
    lose(worker)
    runs.conclude_run(run.pk)
    assert status(run) == RunStatus.CANCELLED


def test_a_paused_round_rests_and_goes_on():
    run = sampling_run()
    worker = FleetWorker(messages()[0])
    worker.say(Kind.BEGUN)
    set_round_state(run.round, "paused")
    assert not worker.say(Kind.ALIVE)
    worker.say(Kind.BACK)
    assert messages() == [] and worker.shard.status == ShardStatus.QUEUED
    set_round_state(run.round, "open")
    assert FleetWorker(messages()[0]).say(Kind.BEGUN)


def test_nobody_is_shown_who_withdrew_meanwhile():
    run = sampling_run()
    IdentityGroup.objects.update(consent_uses=[])
    assert messages() == []
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and run.error
    assert not run.shards.filter(status__in=["queued", "sent", "running"]).exists()


def test_reports_of_a_shard_that_is_gone_change_nothing():
    sampling_run()
    worker = FleetWorker(messages()[0])
    Shard.objects.all().delete()
    assert not worker.say(Kind.BEGUN)
