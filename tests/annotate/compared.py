"""Comparisons of a model with its parent."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from annotate.evaluation.comparisons import start_comparison
from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.judging.judgments import submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import ModelVersion, Round
from annotate.rounds import queries
from annotate.rounds.rounds import open_ready_pairs
from annotate.training.dpo import queue_dpo
from rlhf.records import Track, Verdict
from tests.factories import make_group, make_instance, make_pair, make_user, write_test_clip
from tests.votes import vote


def make_child() -> ModelVersion:
    """A model that a round trained on one pair."""
    pair = make_pair()
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    worker = uuid4()
    run = runs.claim_run(queue_dpo(pair.round, export_round(pair.round)).pk, worker)
    assert run is not None
    runs.run_dir(run).write_result({"adapter": "adapter", "adapter_sha256": "a" * 64, "num_pairs": 1})
    assert runs.finish_run(run, worker)
    pair.round.state = "closed"
    pair.round.save()
    return ModelVersion.objects.get(run=run)


def hold_out(count: int) -> None:
    for number in range(count):
        make_instance(make_group(split=("eval", "benchmark")[number % 2]))


def compared(count: int) -> Round:
    """A comparison on `count` held-out people whose videos are made."""
    hold_out(count)
    round = start_comparison(make_child())
    facts = {"width": 64, "height": 64, "num_frames": 9, "fps": 8}
    for sample in queries.missing_samples(round, include_failed=False):
        sample.path, sample.sha256 = write_test_clip()
        sample.shown_path = sample.path
        sample.facts = facts
        sample.save()
    open_ready_pairs(round)
    return round


def judge(round: Round, track: Track, planned: Mapping[str, int]) -> None:
    """One person's votes of a track: `child` and `parent` wins, and as many of other verdicts as planned."""
    person = make_user()
    for said in [name for name, times in planned.items() for _ in range(times)]:
        slot = lease_slot(person, track)
        assert slot is not None
        choice = said
        if said in ("child", "parent"):
            first_wins = (slot.pair.first.model_version == round.policy) == (said == "child")
            choice = "left" if first_wins == (slot.first_side == "left") else "right"
        submit_judgment(person, slot.lease, choice, idempotency_key=uuid4())
