"""What a run's page shows of its shards."""

from __future__ import annotations

import pytest

from annotate.evaluation.evaluations import queue_evaluation
from annotate.evaluation.stage import seconds_per_video
from annotate.fleet.messages import Kind
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from tests.annotate.conftest import browser_of
from tests.factories import make_group, make_instance, make_model, make_round
from tests.fleet import FleetWorker, messages

pytestmark = pytest.mark.django_db


def test_a_page_shows_shards_workers_pace_and_the_time_left(lea):
    round = make_round()
    plan_pairs(round, [make_instance(num_references=1) for _ in range(2)])
    run = queue_sampling(round)
    assert run is not None
    lead = browser_of(lea)
    assert "1 shard: 1 queued" in lead.get(f"/runs/{run.pk}/").content.decode()
    worker = FleetWorker(messages()[0], name="gpu-3@trainer")
    worker.make(worker.ids[0])
    page = lead.get(f"/runs/{run.pk}/")
    text = page.content.decode()
    assert "gpu-3@trainer" in text and "a GPU" in text and "1 of 4" in text and "at work" in text
    # Two seconds a video, and three of them to come.
    assert "1800 videos per hour" in text and "about 6 s left" in text
    assert page.context["progress"] == {"done": 1, "total": 4, "last": {}}
    worker.say(Kind.FAILED, error="gpu-3@trainer: memory ran out: tried to allocate 9 GiB")
    assert "memory ran out: tried to allocate" in lead.get(f"/runs/{run.pk}/").content.decode()


def test_a_page_of_many_shards_asks_as_few_questions(lea, django_assert_max_num_queries):
    round = make_round()
    plan_pairs(round, [make_instance(num_references=1) for _ in range(2)])
    run = queue_sampling(round)
    assert run is not None
    browser = browser_of(lea)
    with django_assert_max_num_queries(16):
        browser.get(f"/runs/{run.pk}/")


def test_evaluations_are_cut_by_what_is_known_and_their_page_says_when_all_is_made(lea):
    """By what sampling took at first, and then by evaluations, which also look at the videos."""
    parent = make_model()
    other = make_model(base_model=parent.base_model)
    round = make_round(policy=parent)
    for _ in range(3):
        make_instance(make_group(split="eval"), num_references=1)
    plan_pairs(round, [make_instance(num_references=1)])
    queue_sampling(round)
    for sample_id in (worker := FleetWorker(messages()[0])).ids:
        worker.say(Kind.MADE, item=worker.bring_up(sample_id), seconds=75.0)
    worker.say(Kind.ENDED, made=worker.ids)

    run = queue_evaluation(round, other, baseline=parent, seeds=[0, 1])
    ends = [shard.stop for shard in run.shards.all()]
    assert ends == [4, 8, 12], "two models, three instances of two seeds each"
    run.shards.update(made=4, seconds=600.0)
    assert seconds_per_video(run) == 150.0
    for message in messages():
        FleetWorker(message).say(Kind.ENDED)
    text = browser_of(lea).get(f"/runs/{run.pk}/").content.decode()
    assert "3 shards: 3 done" in text and "All are done; a worker makes the result of them." in text
