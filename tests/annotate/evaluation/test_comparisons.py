"""A model against its parent, judged by people who do not know it, and never trained on."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from annotate.core.errors import RoundError
from annotate.evaluation.comparison_queries import track_results
from annotate.evaluation.comparisons import start_comparison
from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.jobs.local_worker import work_here
from annotate.loop.loop import advance_round, is_ready_to_train
from annotate.models import (
    Consensus,
    Export,
    PreferencePair,
    Round,
    Run,
    RunStatus,
    Slot,
    VideoSample,
)
from annotate.rounds import queries
from annotate.rounds.rounds import open_ready_pairs, plan_pairs
from annotate.rounds.sampling import queue_sampling
from annotate.training.dpo import queue_dpo
from generator.media.encoder import write_clip
from rlhf.records import Track
from tests.annotate.compared import compared, hold_out, judge, make_child
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.received import responses_of
from tests.factories import (
    SAMPLER,
    make_group,
    make_instance,
    make_model,
    make_pair,
    write_test_clip,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def make_videos(run: Run) -> None:
    """What workers bring up for a whole sampling run."""
    folder = runs.run_dir(run)
    for item in folder.read_request()["samples"]:
        for kind in ("samples", "shown"):
            (folder.path / kind).mkdir(exist_ok=True)
            place = folder.path / kind / f"{item['sample_id']}.mp4"
            write_clip(place, np.full((9, 64, 64, 3), 7, np.uint8), 8)


def test_a_pair_is_one_video_of_each_model_of_a_held_out_person_with_one_noise():
    hold_out(12)
    make_instance(make_group(split="train"))
    child = make_child()
    round = start_comparison(child)
    assert start_comparison(child) == round
    pairs = list(round.pairs.select_related("first", "second", "instance__group"))
    assert len(pairs) == 12
    for pair in pairs:
        assert {pair.first.model_version, pair.second.model_version} == {child, child.parent}
        assert pair.first.seed == pair.second.seed
        assert pair.first.settings == pair.second.settings == vars(SAMPLER)
        assert pair.instance.group.split in ("eval", "benchmark")
    # Neither model is always the one that a pair names first.
    assert {pair.first.model_version for pair in pairs} == {child, child.parent}


def test_each_model_has_a_run_of_its_own_and_the_pairs_open_after_the_second():
    """A worker finds its videos made, and the end of its run queues the other model's."""
    hold_out(2)
    child = make_child()
    round = start_comparison(child)
    queue_sampling(round)
    for number in (0, 1):
        run = round.runs.order_by("id")[number]
        request = runs.run_dir(run).read_request()
        samples = VideoSample.objects.filter(pk__in=[int(item["sample_id"]) for item in request["samples"]])
        (version,) = {sample.model_version for sample in samples}
        assert len(samples) == 2 and len(request["model"]["adapters"]) == (1 if version == child else 0)
        assert not Slot.objects.filter(round=round).exists()
        make_videos(run)
        work_here(run)
        run.refresh_from_db()
        assert run.status == RunStatus.DONE, run.error
    assert round.runs.count() == 2
    assert Slot.objects.filter(round=round).count() == 2 * len(Track)


def test_planted_votes_come_out_as_win_rate_and_strengths_of_each_track():
    round = compared(12)
    judge(round, Track.IDENTITY, {"child": 6, "parent": 2, "tie": 3, "both_bad": 1})
    judge(round, Track.CONTROLLABILITY, {"parent": 12})
    identity, controllability = track_results(round, is_simulated=False)
    assert (identity.track, identity.num_votes, identity.win_rate.count) == (Track.IDENTITY, 12, 12)
    assert identity.win_rate.value == pytest.approx((6 + 4 / 2) / 12)
    found = identity.strengths.models
    child, parent = found[round.policy.name].value, found[round.policy.parent.name].value
    assert child is not None and parent is not None
    assert child - parent == pytest.approx(log(6 / 2), abs=1e-4)
    assert controllability.win_rate.value == 0 and controllability.win_rate.high is not None
    assert "no vote limits how far" in controllability.strengths.ties.reason
    assert [result.num_votes for result in track_results(round, is_simulated=True)] == [0, 0]
    assert advance_round(round).message == "the comparison is complete; its page says who won"


def test_nothing_that_people_said_of_two_models_is_exported_or_trained_on():
    round = compared(3)
    before = PreferencePair.objects.count()
    for track in Track:
        judge(round, track, {"child": 3})
    assert Consensus.objects.filter(pair__round=round).count() == 3 * len(Track)
    assert PreferencePair.objects.count() == before
    assert not is_ready_to_train(round)
    assert queries.find_round(None) is None
    trained_on = Export.objects.get()
    for step in (
        lambda: queue_dpo(round, trained_on),
        lambda: plan_pairs(round, [pair.instance for pair in round.pairs.all()]),
        lambda: export_round(round),
    ):
        with pytest.raises(RoundError, match=f"{round.name} compares two models, and what people said"):
            step()
    with (
        pytest.raises(IntegrityError, match="a comparison of models is never exported"),
        transaction.atomic(),
    ):
        Export.objects.create(
            round=round, folder="x", content_hash="0", manifest={}, num_pairs=1, includes_simulated=False
        )
    assert Export.objects.count() == 1


def test_what_cannot_be_compared_says_why():
    with pytest.raises(RoundError, match="there is no parent to compare it with"):
        start_comparison(make_model())
    with pytest.raises(RoundError, match="import people of split eval or benchmark"):
        start_comparison(make_child())
    assert Round.objects.count() == 1


@pytest.mark.parametrize("track", list(Track))
def test_nothing_tells_an_annotator_the_models_apart_or_that_there_are_two(ana, track):
    round = compared(1)
    pair = round.pairs.get()
    child = round.policy
    secrets = {child.name, child.parent.name, child.adapter_path, round.name, "comparison", "tuned"}
    secrets |= {
        str(pair.first.seed),
        pair.first.sha256,
        pair.second.sha256,
        pair.first.path,
        pair.second.path,
    }
    for name, response, content in responses_of(ana, track):
        text = "\n".join(f"{key}: {value}" for key, value in response.headers.items()).encode() + content
        for secret in secrets:
            assert secret.lower().encode() not in text.lower(), f"{secret!r} is in {name}"


def test_a_program_is_given_the_same_fields_as_for_any_other_pair(ana, ben):
    compared(1)
    leased = [json.loads(machine_of(ana).post("/api/tracks/identity/lease/").content)]
    make_pair()
    leased.append(json.loads(machine_of(ben).post("/api/tracks/identity/lease/").content))
    pairs = [Slot.objects.get(lease=task["lease"]).pair.round.kind for task in leased]
    assert pairs == ["comparison", "preference"]
    assert leased[0].keys() == leased[1].keys()


def test_a_lead_opens_it_with_one_click_and_reads_the_result(ana, lea, monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr("annotate.jobs.tasks.send_shards.delay_on_commit", lambda: sent.append("shards"))
    child = make_child()
    assert child.run is not None
    at, training = f"/runs/{child.run.pk}/compare/", f"/rounds/{child.run.round_id}/"
    lead = browser_of(lea)
    assert at in lead.get(training).content.decode()
    assert "import people of split eval or benchmark" in lead.post(at, follow=True).content.decode()
    hold_out(4)
    assert browser_of(None).post(at).status_code == 302 and browser_of(ana).post(at).status_code == 404
    assert not Round.objects.filter(kind="comparison").exists() and lead.get(at).status_code == 405
    opened = lead.post(at)
    round = Round.objects.get(kind="comparison")
    assert opened.headers["Location"] == f"/rounds/{round.pk}/"
    assert round.runs.count() == 1 and sent == ["shards"]
    assert lead.get(f"/rounds/{round.pk}/launch/").status_code == 422
    page = lead.get(f"/rounds/{round.pk}/").content.decode()
    assert "every 2s" in page and "No votes yet" in page
    round.runs.update(status="cancelled")
    assert "Make the missing videos" in lead.get(f"/rounds/{round.pk}/").content.decode()
    for sample in queries.missing_samples(round, include_failed=False):
        sample.path, sample.sha256 = write_test_clip()
        sample.shown_path = sample.path
        sample.save()
    open_ready_pairs(round)
    judge(round, Track.IDENTITY, {"child": 2, "parent": 1, "tie": 1})
    part = lead.get(f"/rounds/{round.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert "Make the missing videos" not in part
    assert "<html" not in part and "0.625" in part and "4 pairs, 4 votes" in part
    assert "Strengths are undefined because there are no votes" in part
    numbers = lead.get(f"/rounds/{round.pk}/numbers/").content.decode()
    assert "Judged in full" in numbers and "Decided on both tracks" not in numbers
    assert "it compares" in lead.get("/rounds/").content.decode()
    assert browser_of(ana).get(f"/rounds/{round.pk}/").status_code == 404
