"""The loop's steps: each one names what it did or what it waits for."""

from __future__ import annotations

from uuid import uuid4

import pytest

from annotate.core.errors import RoundError
from annotate.jobs import runs
from annotate.loop.loop import advance_round
from annotate.models import RoundState, Stage
from annotate.rounds.rounds import set_round_state, start_round
from rlhf.records import Track, Verdict
from tests.factories import make_group, make_instance, make_model, make_pair, make_round
from tests.runs import claim, end
from tests.votes import vote

pytestmark = pytest.mark.django_db


def test_it_turns_the_whole_loop():
    make_instance(make_group(split="eval"))
    pair = make_pair()
    step = advance_round(pair.round)
    assert step.is_waiting_for_people and "1 on identity and 1 on controllability" in step.message
    for track in Track:
        vote(pair, track, Verdict.SECOND)

    training = advance_round(pair.round)
    assert training.run is not None and training.run.stage == Stage.DPO
    assert advance_round(pair.round).run == training.run
    end(training.run, adapter="adapter", adapter_sha256="b" * 64, num_pairs=1)

    evaluation = advance_round(pair.round)
    assert evaluation.run is not None and evaluation.run.stage == Stage.EVALUATE
    request = runs.run_dir(evaluation.run).read_request()
    systems = {name: system["model"]["adapters"] for name, system in request["systems"].items()}
    assert len(systems["candidate"]) == len(systems["baseline"]) + 1
    assert set(request["instances"][0]["expected"]) == {
        *("camera_shot", "hairstyle", "clothing", "accessories", "expression", "action", "background")
    }
    end(evaluation.run, identity={}, controllability={})
    assert advance_round(pair.round).is_finished


def test_a_round_without_pairs_says_so():
    with pytest.raises(RoundError, match="has no pairs"):
        advance_round(make_round())


def test_it_samples_what_is_missing():
    pair = make_pair(is_made=False)
    step = advance_round(pair.round)
    assert step.run is not None and step.run.stage == Stage.SAMPLE


def test_a_failed_stage_is_named_with_its_remedy():
    pair = make_pair(is_made=False)
    run = advance_round(pair.round).run
    worker = uuid4()
    claim(run, worker)
    runs.end_run(run, worker, "failed", "out of memory")
    with pytest.raises(RoundError, match="out of memory.*retry"):
        advance_round(pair.round)


def test_starting_a_round_again_returns_it():
    policy = make_model()
    assert start_round("spring", policy) == start_round("spring", policy)


def test_a_closed_round_asks_nobody():
    pair = make_pair()
    set_round_state(pair.round, RoundState.CLOSED)
    assert not pair.round.is_open
