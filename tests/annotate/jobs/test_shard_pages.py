"""What a run's page shows of its shards."""

from __future__ import annotations

import pytest

from annotate.fleet.messages import Kind
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_round
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
