"""The launch of SFT: the look, what it refuses, approval, the command, the API, an estimate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.core.errors import RoundError
from annotate.jobs import runs
from annotate.models import IdentityGroup, Job, ModelState, ModelVersion, Run, RunStatus, TrainingSet, Use
from annotate.supervised import queries
from annotate.supervised.sft import queue_sft
from annotate.training.approvals import approve_run
from rlhf.sft.config import SFTConfig
from rlhf.sft.preflight import find_warnings
from rlhf.training.set_facts import SetFacts
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_group, make_instance, make_model, make_reference, make_user
from tests.runs import end
from tests.runs import run as command

pytestmark = pytest.mark.django_db


def make_target(**person) -> IdentityGroup:
    """A person with one instance that has a target."""
    instance = make_instance(make_group(**person), num_references=2)
    instance.places.create(reference=make_reference(instance.group, sha256="f" * 64), position=None)
    return instance.group


@pytest.fixture
def policy() -> ModelVersion:
    for _ in range(8):
        make_target()
    return make_model()


def press(lead, **given):
    """GET as the form does, then POST what was looked at."""
    browser = browser_of(lead)
    look = browser.get("/models/sft/", given)
    seen = look.context["chosen"].digest
    answer = browser.post("/models/sft/", {**given, "seen": seen})
    if answer.status_code == 302:
        do_jobs()
    return answer


def test_what_was_looked_at_is_launched(lea, policy):
    press(lea, policy=policy.pk, steps="7")
    run = Run.objects.get()
    assert Job.objects.get().link == f"/runs/{run.pk}/"
    request = runs.run_dir(run).read_request()
    assert request["config"]["steps"] == 7 and request["stage"] == "sft"
    frozen = TrainingSet.objects.get()
    assert (run.training_set, run.policy, frozen.num_instances) == (frozen, policy, 8)
    assert (settings.STORAGE_ROOT / run.folder / request["dataset"] / "instances.jsonl").is_file()
    make_target()
    press(lea, policy=policy.pk, set=frozen.pk)
    assert TrainingSet.objects.count() == 1 and frozen.runs.count() == 2


def test_a_look_that_is_old_starts_nothing(lea, policy):
    seen = browser_of(lead := lea).get("/models/sft/").context["chosen"].digest
    make_target()
    answer = browser_of(lead).post("/models/sft/", {"policy": policy.pk, "seen": seen})
    assert answer.status_code == 422 and "have changed since this preview" in answer.content.decode()
    assert not Run.objects.exists() and not TrainingSet.objects.exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": "0"}, "steps is 0; it must be at least 1"),
        ({"mode": "full"}, "the site trains adapters"),
        ({"fps": "30"}, "Set fps to 8 or less"),
    ],
)
def test_what_cannot_be_trained_is_refused(lea, policy, given, says):
    answer = press(lea, policy=policy.pk, **given)
    assert answer.status_code == 422 and says in answer.content.decode() and not Run.objects.exists()


def test_warnings_have_to_be_read(lea):
    make_target()
    policy = make_model()
    assert press(lea, policy=policy.pk).status_code == 422
    assert press(lea, policy=policy.pk, accepted="on").status_code == 302


def test_people_of_one_source_only_and_addresses_that_do_not_exist(lea, policy):
    make_target(source="elsewhere")
    page = browser_of(lea).get("/models/sft/", {"source": "elsewhere"})
    assert page.context["chosen"].facts.num_people == 1
    for given in ({"source": "nowhere"}, {"policy": "0"}, {"policy": "x"}, {"set": "99"}, {"set": "9" * 40}):
        assert browser_of(lea).get("/models/sft/", given).status_code == 404, given
    ModelVersion.objects.update(state=ModelState.ARCHIVED)
    assert "Register a base" in browser_of(lea).get("/models/sft/").content.decode()


def test_queries_do_not_grow_with_instances(lea, policy, django_assert_num_queries):
    browser = browser_of(lea)
    with CaptureQueriesContext(connection) as few:
        browser.get("/models/sft/")
    for _ in range(8):
        make_target()
    with django_assert_num_queries(len(few)):
        browser.get("/models/sft/")


def test_where_rounds_need_approval_so_does_sft(lea, policy, settings):
    settings.APPROVE_ROUNDS = True
    press(lea, policy=policy.pk)
    run = Run.objects.get()
    assert run.status == RunStatus.WAITING
    with pytest.raises(RoundError, match="somebody else has to approve"):
        approve_run(run, lea)
    other = make_user("max", role="lead")
    person = IdentityGroup.objects.first()
    IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=[])
    with pytest.raises(RoundError, match=f"refused for {person.name}"):
        approve_run(run, other)
    IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=Use.values)
    approve_run(run, other)
    assert run.status == RunStatus.QUEUED
    with pytest.raises(RoundError, match="a person has to launch SFT"):
        queue_sft(policy, run.training_set, SFTConfig())


def test_the_estimate_goes_by_a_finished_run(lea, policy):
    press(lea, policy=policy.pk, steps="10", batch_size="2")
    run = Run.objects.get()
    folder = runs.run_dir(run)
    for step in range(1, 11):
        folder.append_metrics(
            {"step": step, "steps": 10, "loss": 1.0, "seconds": 3.0, "memory_bytes": 5_000_000}
        )
    end(run, adapter="adapter", adapter_sha256="a" * 64, num_instances=8)
    now = timezone.now()
    Run.objects.update(started_at=now - timedelta(seconds=46), ended_at=now)
    look = browser_of(lea).get("/models/sft/", {"policy": policy.pk, "steps": "20", "batch_size": "2"})
    estimate = look.context["preview"].estimate
    assert estimate.seconds_per_step == pytest.approx(3.0) and estimate.memory_bytes == 5_000_000
    assert estimate.seconds == pytest.approx(20 * 3.0 + 16)
    larger = browser_of(lea).get("/models/sft/", {"policy": policy.pk, "rank": "64"})
    assert larger.context["preview"].estimate is None and larger.context["preview"].has_history


def test_by_command_and_by_api(lea, policy, capsys):
    looked = command("train_sft", "--dry-run", "--config", '{"steps": 9}')
    assert (looked["instances"], looked["people"], looked["frames_per_second"]) == (8, 8, 8)
    assert not Run.objects.exists()
    assert command("train_sft", "--policy", policy.name, "--config", '{"steps": 9}')["run"].startswith("sft-")
    machine = machine_of(lea)
    answer = machine.post(f"/api/models/{policy.pk}/sft/", {"config": {"steps": 5}}, format="json")
    assert answer.status_code == 202
    run = Run.objects.get(pk=do_jobs().result["run"])
    assert runs.run_dir(run).read_request()["config"]["steps"] == 5
    assert (
        machine.post(f"/api/models/{policy.pk}/sft/", {"config": {"steps": "x"}}, format="json").status_code
        == 409
    )
    assert machine.post("/api/models/0/sft/", {}, format="json").status_code == 404
    set_name = TrainingSet.objects.get().name
    assert command("train_sft", "--set", set_name)["run"].startswith("sft-")


def test_warnings_of_what_a_run_would_walk_into():
    facts = SetFacts(
        num_instances=9,
        num_people=9,
        rates={"8": 5, "23.98": 4},
        licences={"": 2},
        sizes={"64x64, 9 frames": 9},
    )
    names = [one.name for one in find_warnings(facts, SFTConfig())]
    assert names == ["licences", "rates"]
    fixed = find_warnings(facts, SFTConfig(fps=24), num_unread=1, unread=["instance 3: too long"])
    assert [(one.name, one.blocks) for one in fixed] == [
        ("fps", True),
        ("licences", False),
        ("unread", False),
    ]
    assert "5 instances have targets with fewer" in fixed[0].message, "23.98 of 24 is near enough"
    refused = find_warnings(SetFacts(), SFTConfig(), withheld=2, why_withheld="Ask them.")
    assert (
        refused[0].blocks
        and refused[0].remedy == "Ask them."
        and "2 instances left out" in refused[0].message
    )


def test_a_withdrawn_set_is_not_trained_on(policy, lea):
    press(lea, policy=policy.pk)
    TrainingSet.objects.update(withdrawn="a person's data were erased")
    frozen = TrainingSet.objects.get()
    with pytest.raises(RoundError, match="was withdrawn"):
        queue_sft(policy, frozen, SFTConfig())
    page = browser_of(lea).get(f"/models/sets/{frozen.pk}/").content.decode()
    assert "was withdrawn" in page and "Train SFT on it" not in page
    assert not queries.usable_sets(lea).exists()
