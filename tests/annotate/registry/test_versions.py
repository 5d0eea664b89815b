"""The registry of models: states, lineage both ways, the next round."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.exports.queries import votes_of
from annotate.models import AuditEvent, ModelState, ModelVersion, Round, User
from annotate.registry import queries as version_queries
from annotate.registry import versions
from annotate.rounds.rounds import sample_seed, start_round
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_model, make_round
from tests.versions import judged_round, train

pytestmark = pytest.mark.django_db


def states(*them: ModelVersion) -> list[str]:
    found = dict(ModelVersion.objects.values_list("pk", "state"))
    return [found[one.pk] for one in them]


def test_every_version_knows_its_root():
    round = make_round()
    child = train(round, export_round(judged_round(policy=round.policy)))
    grandchild = train(judged_round(policy=child))
    for one in (child, grandchild):
        one.refresh_from_db()
        assert one.root == round.policy
    assert round.policy.root is None
    assert grandchild.line == [round.policy, child, grandchild]


def test_promoting_takes_the_place_of_the_one_before(lea):
    root = make_round().policy
    first, second = train(judged_round(policy=root)), train(judged_round(policy=root))
    stranger = make_model()
    for one in (stranger, first, second):
        versions.promote(one, lea)
    assert states(root, first, second, stranger) == ["candidate", "candidate", "promoted", "promoted"]
    verbs = AuditEvent.objects.filter(table="annotate_modelversion", actor=lea).order_by("id")
    assert list(verbs.values_list("verb", "row_id")) == [
        ("promote_model", stranger.pk),
        ("promote_model", first.pk),
        ("step_down_model", first.pk),
        ("promote_model", second.pk),
    ]


def test_the_database_allows_one_promoted_version_a_lineage():
    root = make_round().policy
    child = train(judged_round(policy=root))
    ModelVersion.objects.filter(pk=root.pk).update(state=ModelState.PROMOTED)
    with pytest.raises(IntegrityError, match="one_promoted_a_lineage"), transaction.atomic():
        ModelVersion.objects.filter(pk=child.pk).update(state=ModelState.PROMOTED)


@pytest.mark.django_db(transaction=True)
def test_two_leads_who_promote_at_once_leave_one(lea):
    root = make_round().policy
    rivals = [train(judged_round(policy=root)) for _ in range(4)]
    gate = threading.Barrier(len(rivals))

    def promote(version: ModelVersion) -> None:
        gate.wait()
        versions.promote(version, lea)
        connection.close()

    threads = [threading.Thread(target=promote, args=[one]) for one in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states(root, *rivals)) == ["candidate"] * 4 + ["promoted"]
    assert AuditEvent.objects.filter(verb="promote_model").count() == 4


def test_an_archived_version_starts_no_round_until_it_is_restored(lea):
    version = make_model()
    versions.archive(version, lea)
    version.refresh_from_db()
    with pytest.raises(RoundError, match="is archived; restore it"):
        start_round("next", version)
    with pytest.raises(versions.VersionError, match="restore it first"):
        versions.promote(version, lea)
    versions.restore(version, lea)
    versions.promote(version, lea)
    with pytest.raises(versions.VersionError, match="promote another one"):
        versions.archive(version, lea)
    with pytest.raises(versions.VersionError, match="only an archived version"):
        versions.restore(make_model(), lea)


def test_lineage_is_counted_both_ways(lea):
    round = judged_round()
    child = train(round)
    votes = votes_of(child.export)
    assert (votes.human, votes.people, votes.simulated, votes.simulated_people) == (4, 4, 4, 4)
    (use,) = version_queries.uses_of(round.policy)
    assert (use["round"], use["num_samples"], use["num_pairs"]) == (round, 4, 2)
    assert (use["votes"], use["exports"], use["children"]) == (votes, [child.export], [child])
    page = browser_of(lea).get(f"/models/{child.pk}/").content.decode()
    assert "8 votes: 4 by 4 people" in page and "0.6931" in page
    for person in User.objects.filter(slots__round=round):
        assert person.username not in page
    page = browser_of(lea).get(f"/models/{round.policy_id}/").content.decode()
    assert f"/models/{child.pk}/" in page


def test_the_next_round_goes_on_as_the_last_one(lea):
    round = judged_round(dpo={"beta": 77.0})
    child = train(round)
    browser_of(lea).post(f"/models/{child.pk}/next-round/", {"name": " second "})
    job = do_jobs()
    following = Round.objects.get(name="second")
    assert job.link == f"/rounds/{following.pk}/"
    assert (following.policy, following.created_by) == (child, lea)
    for name in ("dpo", "sampler", "votes_wanted", "stopping"):
        assert getattr(following, name) == getattr(round, name)
    assert {pair.instance for pair in following.pairs.all()} == {pair.instance for pair in round.pairs.all()}
    for pair in following.pairs.all():
        assert {pair.first.seed, pair.second.seed} == {sample_seed(pair.instance, n) for n in (0, 1)}
        assert pair.first.model_version == child and not pair.first.path


@pytest.mark.parametrize("name", ["", " ", "x" * 101])
def test_a_round_without_a_good_name_is_not_started(lea, name):
    child = train(judged_round())
    answer = browser_of(lea).post(f"/models/{child.pk}/next-round/", {"name": name}, follow=True)
    assert "1 to 100 characters" in answer.content.decode()
    assert Round.objects.count() == 1


def test_a_name_that_is_taken_starts_nothing(lea):
    round = judged_round()
    child = train(round)
    answer = browser_of(lea).post(f"/models/{child.pk}/next-round/", {"name": round.name}, follow=True)
    assert "already; choose another name" in answer.content.decode()
    assert not child.rounds.exists()


@pytest.mark.parametrize("act", ["promote", "archive", "restore", "next-round"])
def test_only_leads_change_versions(ana, lea, act):
    version = make_model()
    address = f"/models/{version.pk}/{act}/"
    assert browser_of(None).post(address).status_code == 302
    assert browser_of(ana).post(address).status_code == 404
    assert browser_of(lea).get(address).status_code == 405
    assert states(version) == ["candidate"]
    assert browser_of(lea).post(address).status_code == 302


def test_the_registry_asks_no_more_questions_for_more_versions(lea):
    browser, counts = browser_of(lea), []
    for _ in range(2):
        train(judged_round())
        browser.get("/models/")
        with CaptureQueriesContext(connection) as asked:
            page = browser.get("/models/").content.decode()
        counts.append(len(asked))
    assert counts[1] == counts[0]
    assert page.count("2 pairs of") == 2
