"""More rounds from one version: with the videos that exist, or with new ones; and evaluation at any time."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from annotate.evaluation.comparisons import start_comparison
from annotate.evaluation.evaluations import evaluate_version
from annotate.jobs import runs
from annotate.loop.loop import advance_round
from annotate.models import IdentityGroup, Instance, ModelVersion, Round, Run, RunStatus, Stage, VideoPair
from annotate.registry.versions import start_next_round
from annotate.rounds.rounds import open_ready_pairs, plan_pairs, sample_seed, start_round
from annotate.rounds.sampling import queue_sampling
from generator.records import SamplerSettings
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import SAMPLER, make_group, make_instance, make_model, make_pair, write_test_clip
from tests.runs import end
from tests.votes import vote

pytestmark = pytest.mark.django_db


def make_videos(round: Round) -> None:
    """What a sampling run of another round would have left."""
    for pair in round.pairs.all():
        for sample in (pair.first, pair.second):
            sample.path, sample.sha256 = write_test_clip()
            sample.shown_path = sample.path
            sample.save()


@pytest.fixture
def policy() -> ModelVersion:
    return make_model()


@pytest.fixture
def first(policy) -> Round:
    """A round whose videos are made."""
    round = start_round("first", policy, votes_wanted=1)
    make_instance(num_references=2)
    make_instance(num_references=2)
    plan_pairs(round, Instance.objects.all())
    make_videos(round)
    open_ready_pairs(round)
    return round


def test_a_second_round_from_the_same_version_asks_for_votes_at_once(first, policy, lea):
    second = start_next_round("second", policy, lea)
    assert {pair.first for pair in second.pairs.all()} == {pair.first for pair in first.pairs.all()}
    assert second.slots.count() == first.slots.count() == 2 * len(Track)
    step = advance_round(second)
    assert step.is_waiting_for_people and "2 on identity" in step.message
    assert plan_pairs(second, Instance.objects.all()) == 0 and second.slots.count() == 2 * len(Track)


def test_videos_that_another_round_makes_later_open_the_pairs_of_both(first, policy, lea):
    """Whichever round sampled, and whoever asks for the next step."""
    second = start_next_round("second", policy, lea)
    second.slots.all().delete()
    assert queue_sampling(second) is None and second.slots.exists()
    second.slots.all().delete()
    run = runs.queue_run(first, Stage.SAMPLE, lambda folder: {"samples": []}, actor=None)
    end(run, samples=[])
    assert second.slots.exists()


def test_a_comparison_whose_videos_exist_is_open_at_once(policy):
    pair = make_pair()
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    make_instance(make_group(split="eval"))
    training = advance_round(pair.round).run
    end(training, adapter="adapter", adapter_sha256="b" * 64, num_pairs=1)
    training.refresh_from_db()
    comparison = start_comparison(training.model_version)
    make_videos(comparison)
    assert not comparison.slots.exists()
    assert start_comparison(training.model_version) == comparison and comparison.slots.exists()


def seeds_of(round: Round) -> set[tuple[int, int]]:
    return {
        (sample.instance_id, sample.seed)
        for pair in round.pairs.all()
        for sample in (pair.first, pair.second)
    }


def by_page(policy, lead) -> None:
    form = {"name": "fresh", "new_seeds": "on"}
    assert browser_of(lead).post(f"/models/{policy.pk}/next-round/", form).status_code == 302
    do_jobs()


def by_api(policy, lead) -> None:
    body = {"name": "fresh", "policy": policy.pk, "new_seeds": True}
    answer = machine_of(lead).post("/api/rounds/", body, format="json")
    assert answer.status_code == 202 and do_jobs().status == "done"
    done = machine_of(lead).get(answer.headers["Location"]).json()
    assert done["result"] == {"round": Round.objects.get(name="fresh").pk} and "2 pairs" in done["outcome"]
    assert machine_of(lead).post("/api/rounds/", body, format="json").status_code == 409


def by_command(policy, lead) -> None:
    for _ in range(2):  # the second one finds it, and adds nothing
        call_command("start_round", "fresh", "--policy", policy.name, "--votes", "1", "--new-seeds")


@pytest.mark.parametrize("entry_point", [by_page, by_api, by_command])
def test_a_round_can_ask_for_new_videos_of_the_same_instances(entry_point, first, policy, lea):
    IdentityGroup.objects.update(split="train")
    entry_point(policy, lea)
    fresh = Round.objects.get(name="fresh")
    assert {pair.instance for pair in fresh.pairs.all()} == {pair.instance for pair in first.pairs.all()}
    assert fresh.pairs.count() == 2 and not seeds_of(fresh) & seeds_of(first)
    for pair in fresh.pairs.all():
        assert {pair.first.seed, pair.second.seed} == {sample_seed(pair.instance, n) for n in (2, 3)}
    step = advance_round(fresh)
    assert step.run is not None and step.run.stage == Stage.SAMPLE


def test_each_round_with_new_seeds_has_its_own(first, policy, lea):
    again = [start_next_round(f"fresh-{n}", policy, lea, new_seeds=True) for n in range(2)]
    assert [round.draw for round in (first, *again)] == [0, 1, 2]
    assert start_round("fresh-0", policy, new_seeds=True).draw == 1, "an existing round stays as it is"
    assert len(seeds_of(first) | seeds_of(again[0]) | seeds_of(again[1])) == 3 * len(seeds_of(first))


@pytest.fixture
def tuned() -> ModelVersion:
    """Of a round that is trained, and of which votes are missing again."""
    make_instance(make_group(split="eval"))
    pair = make_pair()
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    training = advance_round(pair.round).run
    end(training, adapter="adapter", adapter_sha256="b" * 64, num_pairs=1)
    training.refresh_from_db()
    make_pair(pair.round, pair.instance)
    assert VideoPair.objects.filter(slots__judged_at=None).exists()
    return training.model_version


def evaluations(version: ModelVersion) -> list[str]:
    return list(version.evaluations.values_list("status", flat=True))


def test_missing_votes_do_not_keep_a_round_from_its_evaluation(tuned):
    step = advance_round(tuned.run.round)
    assert step.run is not None and step.run.candidate == tuned
    end(step.run, identity={}, controllability={})
    assert advance_round(tuned.run.round).is_waiting_for_people


def page_of_version(version, lead):
    answer = browser_of(lead).post(f"/models/{version.pk}/evaluate/")
    return answer.url == f"/jobs/{do_jobs().pk}/"


def by_api(address, lead):
    """The job's result names the run."""
    answer = machine_of(lead).post(address)
    job = do_jobs()
    assert job.result == {"run": Run.objects.get(stage=Stage.EVALUATE).pk}, job.error
    return answer.status_code == 202 and answer.headers["Location"] == f"/api/jobs/{job.pk}/"


def api_of_version(version, lead):
    return by_api(f"/api/models/{version.pk}/evaluate/", lead)


def api_of_round(version, lead):
    return by_api(f"/api/rounds/{version.run.round_id}/evaluate/", lead)


def command_of_version(version, lead):
    return call_command("evaluate_round", "--model", version.name) is None


def command_of_round(version, lead):
    return call_command("evaluate_round", "--round", version.run.round.name) is None


@pytest.mark.parametrize(
    "entry_point", [page_of_version, api_of_version, api_of_round, command_of_version, command_of_round]
)
def test_evaluation_has_its_own_entry_points(entry_point, tuned, lea):
    assert entry_point(tuned, lea)
    assert evaluations(tuned) == [RunStatus.QUEUED]
    assert entry_point(tuned, lea), "asking again finds the run"
    assert evaluations(tuned) == [RunStatus.QUEUED]
    assert "Evaluat" in browser_of(lea).get(f"/rounds/{tuned.run.round_id}/").content.decode()


def test_a_version_without_a_parent_is_measured_alone(tuned):
    run = evaluate_version(tuned.parent)
    request = runs.run_dir(run).read_request()
    assert set(request["systems"]) == {"candidate"} and "compare" not in request and run.candidate is None
    assert request["systems"]["candidate"]["label"] == tuned.parent.name


def test_what_cannot_be_evaluated_is_refused_with_the_reason(lea):
    lone = make_model()
    answer = machine_of(lea).post(f"/api/models/{lone.pk}/evaluate/")
    assert answer.status_code == 409 and "start one from it" in json.dumps(answer.json())
    round = start_round("bare", lone, sampler=SamplerSettings(**vars(SAMPLER)))
    answer = machine_of(lea).post(f"/api/rounds/{round.pk}/evaluate/")
    assert answer.status_code == 409 and "no tuned model yet" in json.dumps(answer.json())
