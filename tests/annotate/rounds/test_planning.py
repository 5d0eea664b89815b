"""Building, planning and queueing many rows: a batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from annotate.jobs.runs import read_request
from annotate.models import Instance, InstanceReference, PreferencePair, Stage, VideoSample
from annotate.people.instances import build_instances
from annotate.rounds import sampling
from annotate.rounds.rounds import open_ready_pairs, plan_pairs, sample_seed
from annotate.rounds.sampling import queue_sampling
from annotate.rounds.stage import next_run
from generator.instances import Draw
from tests.factories import make_group, make_instance, make_reference, make_round

pytestmark = pytest.mark.django_db
FEW, MANY = 10, 150


def statements(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def assert_by_batches(few: int, many: int) -> None:
    assert (many - few) / (MANY - FEW) < 0.05
    assert many / MANY < 0.2


def people(count: int, source: str) -> None:
    for _ in range(count):
        group = make_group(source=source)
        for _ in range(2):
            make_reference(group)


def test_building_takes_as_many_statements_for_many_people_as_for_few():
    people(FEW, "few")
    people(MANY, "many")
    few, many = (
        statements(lambda source=source: build_instances(Draw(count=1, seed=0), source=source))
        for source in ("few", "many")
    )
    assert Instance.objects.count() == FEW + MANY
    assert InstanceReference.objects.exclude(position=None).count() >= FEW + MANY
    assert_by_batches(few, many)


def test_planning_and_queueing_take_as_many_statements_for_many_pairs_as_for_few():
    few, many = plan(FEW), plan(MANY)
    for work in few:
        assert_by_batches(few[work], many[work])


def plan(count: int) -> dict[str, int]:
    """Statements that it takes to plan so many pairs, to queue their videos, and to ask for votes."""
    round = make_round()
    instances = [make_instance(num_references=1) for _ in range(count)]
    taken = {"plan": statements(lambda: plan_pairs(round, instances))}
    taken["queue"] = statements(lambda: queue_sampling(round))
    make_videos(VideoSample.objects.filter(model_version=round.policy))
    taken["open"] = statements(lambda: open_ready_pairs(round))
    assert round.pairs.count() == count and round.slots.count() == 2 * count
    assert len(read_request(round.runs.get())["samples"]) == 2 * count
    return taken


def make_videos(samples: QuerySet[VideoSample]) -> None:
    samples.update(path="made", sha256="0" * 64, shown_path="made")


def test_videos_keep_their_seeds_and_their_order_and_are_planned_once():
    round = make_round(draw=1)
    instances = [make_instance(num_references=1) for _ in range(3)]
    assert [plan_pairs(round, instances[:2]), plan_pairs(round, instances)] == [2, 1]
    for pair in round.pairs.select_related("first", "second", "instance"):
        assert [pair.first.seed, pair.second.seed] == [sample_seed(pair.instance, n) for n in (2, 3)]
    assert VideoSample.objects.count() == 6


def test_the_encoding_is_that_of_the_day_on_which_a_pair_is_planned(settings):
    settings.DISPLAY_ENCODING = "lean"
    round = make_round()
    plan_pairs(round, [make_instance(num_references=1)])
    settings.DISPLAY_ENCODING = "full"
    plan_pairs(round, [make_instance(num_references=1)])
    asked = [item["encoding"] for item in read_request(queue_sampling(round))["samples"]]
    assert asked == ["lean", "lean", "full", "full"]


def test_videos_that_differ_in_form_are_refused_among_others():
    round = make_round()
    plan_pairs(round, [make_instance(num_references=1) for _ in range(3)])
    make_videos(VideoSample.objects.all())
    unlike = round.pairs.first()
    VideoSample.objects.filter(pk=unlike.second_id).update(facts={"fps": 9})
    for _ in range(2):
        open_ready_pairs(round)
    assert round.slots.count() == 4 and not unlike.slots.exists()
    assert PreferencePair.objects.get().reason == "its videos differ in fps: None and 9; sample both again"


def test_what_one_run_does_not_hold_the_next_one_makes(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_VIDEOS", 4)
    monkeypatch.setattr("annotate.rounds.stage.MAX_VIDEOS", 4)
    round = make_round()
    plan_pairs(round, [make_instance(num_references=1) for _ in range(3)])
    asked = []
    run = queue_sampling(round)
    while run is not None:
        samples = [int(item["sample_id"]) for item in read_request(run)["samples"]]
        make_videos(VideoSample.objects.filter(pk__in=samples))
        run.shards.update(status="done")
        type(run).objects.filter(pk=run.pk).update(status="done", result={})
        asked.append(samples)
        run = next_run(run)
    assert [len(samples) for samples in asked] == [4, 2]
    assert sorted(sum(asked, [])) == list(VideoSample.objects.order_by("id").values_list("id", flat=True))
    assert round.runs.filter(stage=Stage.SAMPLE).count() == 2
