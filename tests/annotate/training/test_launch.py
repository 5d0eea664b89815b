"""Launching a DPO run: nothing starts before its dry run was looked at, and two people can be asked for."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, ProgrammingError, transaction
from django.utils import timezone

from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.loop.loop import advance_round
from annotate.models import AuditEvent, Export, Round, Run, RunStatus, Stage, User
from annotate.quality.disqualification import disqualify
from annotate.training.dpo import queue_dpo
from annotate.training.queries import pair_facts, pair_set
from rlhf.export.freezing import read_export
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_group, make_instance, make_model, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    ids: list[int] = []
    monkeypatch.setattr("annotate.jobs.tasks.send_whole_run.delay_on_commit", ids.append)
    return ids


@pytest.fixture
def round() -> Round:
    """Three pairs of two people, each better on both tracks."""
    round = make_round(dpo={"steps": 6, "batch_size": 2})
    people = [make_group(licence="CC-BY-NC-4.0"), make_group()]
    for person in (people[0], people[1], people[1]):
        pair = make_pair(round, make_instance(person))
        for track in Track:
            vote(pair, track, Verdict.FIRST)
    return round


def form_of(page: str) -> dict[str, str]:
    """What the launch form of a page would send, with its box ticked."""
    part = page[page.index('<form class="next" method="post"') :]
    part = part[: part.index("</form>")]
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', part))
    fields.pop("csrfmiddlewaretoken", None)
    return {name: unescape(value) for name, value in fields.items()} | {"accepted": "on"}


def look(browser: Any, round: Round, **given: Any) -> str:
    answer = browser.get(f"/rounds/{round.pk}/launch/", given)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_looking_says_what_it_would_train_on_and_starts_nothing(lea, round):
    page = look(browser_of(lea), round, beta="20", guard="none")
    for says in (
        "3 pairs: a LoRA",
        "CC-BY-NC-4.0",
        "beta 20 (Flow-DPO and Diffusion-DPO would call it 40)",
        "The guard is off",
    ):
        assert says in page
    assert not Run.objects.exists() and not Export.objects.exists()


def test_it_warns_of_bfloat16_on_a_worker_that_emulates_it(lea, round):
    """What the workers' machine is like, the run that made the videos has said."""
    took = {"bf16": False, "device": "cpu", "suits_bf16": False, "slowdown": 12.6}
    Run.objects.create(
        round=round,
        stage=Stage.SAMPLE,
        ordinal=1,
        folder="runs/round/sample-1",
        status=RunStatus.DONE,
        result={"precision": took},
    )
    browser = browser_of(lea)
    assert "bfloat16 takes about 13 times as long" in look(browser, round, bf16="on")
    assert "bfloat16 takes about" not in look(browser, round)
    assert '<option value="" >as the device is faster</option>' in look(browser, round)


def test_what_was_looked_at_is_launched(lea, round, sent):
    browser = browser_of(lea)
    form = form_of(look(browser, round, beta="700", steps="9"))
    answer = browser.post(f"/rounds/{round.pk}/launch/", form)
    assert not Run.objects.exists() and not Export.objects.exists(), "a worker does it"
    job = do_jobs()
    run = Run.objects.get()
    assert answer.headers["Location"] == f"/jobs/{job.pk}/"
    assert job.link == f"/runs/{run.pk}/" and sent == [run.pk]
    config = runs.run_dir(run).read_request()["config"]
    assert (config["beta"], config["steps"], config["batch_size"]) == (700, 9, 2)
    assert (run.launched_by, run.status, run.export.num_pairs) == (lea, RunStatus.QUEUED, 3)
    event = AuditEvent.objects.get(verb="launch_dpo")
    assert event.actor == lea and "few_pairs" in event.detail["warnings"]
    page = browser.post(f"/rounds/{round.pk}/launch/", form)
    assert page.status_code == 422 and "wait for it, or cancel it" in page.content.decode()


def test_advancing_to_the_training_is_a_look_at_it(lea, round, sent):
    browser = browser_of(lea)
    address = f"/rounds/{round.pk}/advance/"
    assert browser.post(address).headers["Location"] == f"/rounds/{round.pk}/launch/"
    with_simulated = browser.post(address, {"include_simulated": "on"}).headers["Location"]
    assert "use simulated" in browser.get(with_simulated).content.decode() and not sent
    run = runs.claim_run(queue_dpo(round, export_round(round)).pk, uuid4())
    assert runs.end_run(run, run.worker, RunStatus.FAILED, "the loss is nan")
    page = browser.post(address).headers["Location"]
    assert "the loss is nan; retry it" in do_jobs().error
    assert "the loss is nan; retry it" in browser.get(page).content.decode()


def test_other_pairs_than_those_seen_are_not_trained_on(lea, round, sent):
    browser = browser_of(lea)
    form = form_of(look(browser, round))
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.SECOND)
    answer = browser.post(f"/rounds/{round.pk}/launch/", form)
    assert answer.status_code == 422 and "The votes have changed" in answer.content.decode()
    assert not sent and not Export.objects.exists()
    browser.post(f"/rounds/{round.pk}/launch/", form_of(answer.content.decode()))
    do_jobs()
    assert len(sent) == 1 and Export.objects.get().num_pairs == 4


def test_votes_that_come_between_the_launch_and_its_job_end_it(lea, round, sent):
    browser = browser_of(lea)
    browser.post(f"/rounds/{round.pk}/launch/", form_of(look(browser, round)))
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.SECOND)
    assert "The votes have changed" in do_jobs().error
    assert not sent and not Export.objects.exists()


def test_an_export_made_before_can_be_trained_on_again(lea, round, sent):
    before = export_round(round)
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.SECOND)
    browser = browser_of(lea)
    browser.post(f"/rounds/{round.pk}/launch/", form_of(look(browser, round, export=before.pk)))
    do_jobs()
    assert Run.objects.get().export == before and Export.objects.count() == 1
    other = export_round(make_round())
    assert browser.get(f"/rounds/{round.pk}/launch/", {"export": other.pk}).status_code == 404


def test_another_rule_chooses_what_is_looked_at_and_launched(lea, round, sent):
    """On one pair the tracks disagree: only a rule of one track takes it, and takes that track's word."""
    torn = make_pair(round)
    vote(torn, Track.IDENTITY, Verdict.SECOND)
    vote(torn, Track.CONTROLLABILITY, Verdict.FIRST)
    browser = browser_of(lea)
    assert "3 pairs: a LoRA" in look(browser, round)
    forms = {rule: form_of(look(browser, round, rule=rule)) for rule in ("identity", "controllability")}
    assert forms["identity"]["seen"] != forms["controllability"]["seen"]
    mixed = forms["controllability"] | {"rule": "identity"}
    assert "The votes have changed" in browser.post(f"/rounds/{round.pk}/launch/", mixed).content.decode()
    browser.post(f"/rounds/{round.pk}/launch/", forms["identity"])
    do_jobs()
    export = Run.objects.get().export
    assert (export.rule, export.num_pairs) == ("identity", 4)
    *_, row = read_export(settings.STORAGE_ROOT / export.folder).rows()
    assert (row.pair_id, row.chosen.seed, row.rejected.seed) == (torn.pk, torn.second.seed, torn.first.seed)
    assert browser.get(f"/rounds/{round.pk}/launch/", {"rule": "beauty"}).status_code == 404


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accepted": ""}, "read the warnings"),
        ({"seen": "something else"}, "The votes have changed"),
        ({"beta": "strong"}, "beta is 'strong'; it must be a number"),
        ({"learning_rate": "0"}, "learning_rate is 0.0; it must be above 0"),
    ],
)
def test_a_launch_that_cannot_be_says_why(lea, round, sent, changes, says):
    browser = browser_of(lea)
    answer = browser.post(f"/rounds/{round.pk}/launch/", form_of(look(browser, round)) | changes)
    assert answer.status_code == 422 and says in unescape(answer.content.decode())
    assert not sent and not Run.objects.exists()


def test_whoever_takes_their_consent_back_is_left_out_of_a_new_set_and_blocks_a_frozen_one(lea, round, sent):
    person = round.pairs.first().instance.group
    browser = browser_of(lea)
    export = export_round(round)
    form, frozen = form_of(look(browser, round)), form_of(look(browser, round, export=export.pk))
    person.consent_expires_on = timezone.localdate() - timedelta(days=1)
    person.save()
    facts = pair_facts(round, pair_set(round, None, include_simulated=False))
    assert (facts.num_pairs, facts.withheld, facts.without_consent) == (2, 1, 0)
    says = f"Consent to train has ended for {person.name}"
    answer = browser.post(f"/rounds/{round.pk}/launch/", form)
    page = answer.content.decode()
    assert answer.status_code == 422 and "have changed since this preview" in page and says in page
    answer = browser.post(f"/rounds/{round.pk}/launch/", frozen)
    page = answer.content.decode()
    assert answer.status_code == 422 and says in page and "missing for 1 person" in page
    assert not sent


def test_the_facts_are_those_of_the_votes(round):
    pair = round.pairs.first()
    facts = pair_facts(round, pair_set(round, None, include_simulated=False))
    assert sorted(facts.identities.values()) == [1, 2]
    assert (facts.num_pairs, facts.human_votes, facts.simulated_votes) == (3, 6, 0)
    assert sum(facts.annotators.values()) == 6 and facts.sided_votes == 6
    assert facts.agreement == {"identity": None, "controllability": None}
    assert (facts.from_others, facts.uneven, facts.is_large) == (0, 0, False)
    type(pair.first).objects.filter(pk=pair.first_id).update(
        model_version=make_model(), facts={"num_frames": 9, "size_bytes": 100}
    )
    type(pair.first).objects.filter(pk=pair.second_id).update(facts={"num_frames": 13, "size_bytes": 200})
    facts = pair_facts(round, pair_set(round, None, include_simulated=False))
    assert (facts.from_others, facts.uneven, facts.sized, facts.chosen_smaller) == (1, 1, 1, 1)


def test_votes_of_disqualified_people_are_told_of_an_export_and_count_for_nothing(lea, round):
    export = export_round(round)
    person = User.objects.filter(slots__pair=round.pairs.first()).first()
    assert person is not None
    disqualify(person, "clicks left", lea)
    facts = pair_facts(round, pair_set(round, export, include_simulated=False))
    assert (facts.disqualified_votes, facts.human_votes) == (1, 5)
    assert "votes of people who are disqualified: 1." in look(browser_of(lea), round, export=export.pk)


def test_simulated_votes_come_in_only_by_name(round):
    robot = make_user(is_simulated=True)
    pair = make_pair(round)
    vote(pair, Track.IDENTITY, Verdict.FIRST, robot)
    vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    without, with_them = (
        pair_facts(round, pair_set(round, None, include_simulated=them)) for them in (False, True)
    )
    assert (without.num_pairs, without.simulated_votes, without.simulated_pairs) == (3, 0, 0)
    assert (with_them.num_pairs, with_them.simulated_votes, with_them.simulated_pairs) == (4, 1, 1)


def test_time_is_estimated_from_finished_runs(lea, round):
    assert "No estimate yet" in look(browser_of(lea), round)
    worker = uuid4()
    run = runs.claim_run(queue_dpo(round, export_round(round)).pk, worker)
    folder = runs.run_dir(run)
    for step in (1, 2, 3):
        folder.append_metrics(
            {"step": step, "steps": 3, "loss": 0.6, "seconds": 40.0, "memory_bytes": 3 * 2**20}
        )
    folder.write_result({"adapter": "adapter", "adapter_sha256": "a" * 64, "num_pairs": 3})
    assert runs.finish_run(run, worker)
    now = timezone.now()
    Run.objects.update(started_at=now - timedelta(seconds=180), ended_at=now)
    page = unescape(look(browser_of(lea), round))
    # Six steps of 40 s, and the minute that the run took beside its steps.
    assert "about 5 min" in page and "40 s" in page and "3.0\xa0MB" in page and str(run) in page
    assert "No estimate: no finished run" in look(browser_of(lea), round, rank="32")


def test_the_part_that_changes_comes_alone(lea, round):
    answer = browser_of(lea).get(f"/rounds/{round.pk}/launch/", {"beta": "x"}, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert answer.status_code == 422 and "<html" not in page and "must be a number" in page


@pytest.fixture
def waiting(lea, round, sent, settings) -> Run:
    settings.APPROVE_ROUNDS = True
    browser = browser_of(lea)
    browser.post(f"/rounds/{round.pk}/launch/", form_of(look(browser, round)))
    do_jobs()
    return Run.objects.get()


def test_a_second_person_approves(lea, ana, waiting, sent):
    assert (waiting.status, waiting.needs_approval) == (RunStatus.WAITING, True)
    assert not sent and runs.claim_run(waiting.pk, uuid4()) is None and runs.requeue_lost_runs() == []
    own = browser_of(lea).post(f"/runs/{waiting.pk}/approve/", follow=True).content.decode()
    assert "somebody else has to approve it" in own and "Approve and start" not in own
    assert browser_of(ana).post(f"/runs/{waiting.pk}/approve/").status_code == 404
    assert not sent
    other = make_user("otto", role=User.Role.LEAD)
    page = browser_of(other).get(f"/runs/{waiting.pk}/").content.decode()
    assert "Approve and start" in page and "3 pairs: a LoRA" in page
    browser_of(other).post(f"/runs/{waiting.pk}/approve/")
    waiting.refresh_from_db()
    assert (waiting.status, waiting.approved_by, sent) == (RunStatus.QUEUED, other, [waiting.pk])
    assert AuditEvent.objects.get(verb="approve_run").actor == other
    again = browser_of(other).post(f"/runs/{waiting.pk}/approve/", follow=True).content.decode()
    assert "only a run that waits" in again and sent == [waiting.pk]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": RunStatus.QUEUED},
        {"status": RunStatus.RUNNING},
        {"status": RunStatus.DONE, "result": {}},
        {"approved_by": "lea", "approved_at": timezone.now()},
        {"approved_by": "otto"},
        {"launched_by": "otto"},
        {"needs_approval": False},
    ],
)
def test_the_database_itself_wants_two_people(waiting, changes):
    make_user("otto", role=User.Role.LEAD)
    people = {
        name: User.objects.get(username=changes[name])
        for name in ("approved_by", "launched_by")
        if name in changes
    }
    refused = pytest.raises((IntegrityError, ProgrammingError), match="constraint|Cannot update rows")
    with refused, transaction.atomic():
        Run.objects.filter(pk=waiting.pk).update(**(changes | people))


def test_what_was_declined_waits_again_when_it_is_retried(lea, waiting, sent):
    other = make_user("otto", role=User.Role.LEAD)
    browser_of(other).post(f"/runs/{waiting.pk}/cancel/")
    waiting.refresh_from_db()
    assert waiting.status == RunStatus.CANCELLED
    browser_of(lea).post(f"/runs/{waiting.pk}/retry/")
    waiting.refresh_from_db()
    assert (waiting.status, sent) == (RunStatus.WAITING, [])


def test_a_command_cannot_launch_what_needs_approval(round, settings):
    settings.APPROVE_ROUNDS = True
    with pytest.raises(RoundError, match="APPROVE_ROUNDS is on"):
        advance_round(round)


def test_advancing_a_round_needs_approval_too(lea, round, settings):
    settings.APPROVE_ROUNDS = True
    step = advance_round(round, actor=lea)
    assert step.run is not None and step.run.status == RunStatus.WAITING
