"""Any two versions on the same held-out inputs and seeds, for leads."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import queue_evaluation
from annotate.evaluation.version_comparisons import compare_versions, places
from annotate.integrations.webhooks import add_endpoint
from annotate.jobs import runs, shards
from annotate.jobs.queries import done_evaluation
from annotate.loop.loop import advance_round
from annotate.models import ModelVersion, RunStatus, VersionComparison, WebhookEvent, WebhookMessage
from annotate.privacy.erasure import erase_identity
from annotate.registry.queries import evaluations_of
from tests.annotate.conftest import browser_of
from tests.factories import make_group, make_instance, make_model
from tests.runs import claim
from tests.versions import finish, judged_round, train

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    ids: list[int] = []

    def send() -> None:
        ids.extend(run.pk for _, run in shards.runs_of(shards.next_shards(9)))

    monkeypatch.setattr("annotate.jobs.tasks.send_shards.delay_on_commit", send)
    return ids


@pytest.fixture
def siblings() -> list[ModelVersion]:
    """Two versions of one parent, which no evaluation ever holds against each other."""
    round = judged_round()
    return [train(round), train(round)]


@pytest.fixture
def inputs():
    """Of two held-out people, one drawn."""
    return [make_instance(make_group(split="eval", truth=truth)) for truth in ({"face": 1}, None)]


def form_of(baseline, candidate, inputs, num_seeds=2) -> dict[str, object]:
    return {
        "baseline": baseline.pk,
        "candidate": candidate.pk,
        "num_seeds": num_seeds,
        "instances": [instance.pk for instance in inputs],
    }


def test_a_lead_chooses_and_looks_at_both(lea, siblings, inputs, sent):
    baseline, candidate = siblings
    browser = browser_of(lea)
    page = browser.get(f"/models/compare/?candidate={candidate.pk}").content.decode()
    assert f'<option value="{candidate.pk}" selected>' in page and inputs[0].prompt.text in page
    answer = browser.post("/models/compare/", form_of(baseline, candidate, inputs))
    comparison = VersionComparison.objects.get()
    assert answer.headers["Location"] == f"/models/compare/{comparison.pk}/" and sent == [comparison.run_id]
    assert "not made yet" in browser.get(f"/models/compare/{comparison.pk}/").content.decode()
    finish(comparison)
    page = browser.get(f"/models/compare/{comparison.pk}/").content.decode()
    assert f"{candidate.name} against {baseline.name}" in page
    assert page.count("the disk is full") == 2 and page.count('class="panel place pair"') == 2
    clip = f"/media/comparisons/{comparison.pk}/candidate/{inputs[1].pk}/0"
    assert clip in page and browser.get(clip).status_code == 200
    assert browser.get(clip.replace("/candidate/", "/scores/")).status_code == 404
    assert comparison.run.round.name in browser.get(f"/runs/{comparison.run_id}/").content.decode()
    assert f"Comparison {comparison.pk}" in browser.get("/models/compare/").content.decode()
    for version in siblings:
        assert f"/models/compare/{comparison.pk}/" in browser.get(f"/models/{version.pk}/").content.decode()


def test_both_make_the_same_inputs_from_the_same_seeds(siblings, inputs):
    run = compare_versions(*siblings, inputs[:1], num_seeds=3).run
    request = runs.run_dir(run).read_request()
    assert request["seeds"] == [0, 1, 2] and [one["instance_id"] for one in request["instances"]] == [
        str(inputs[0].pk)
    ]
    folder = runs.run_dir(run)
    for system, version in zip(("baseline", "candidate"), siblings, strict=True):
        adapter = folder.resolve(request["systems"][system]["model"]["adapters"][-1])
        assert adapter.resolve() == (settings.STORAGE_ROOT / version.adapter_path).resolve()
    assert request["settings"] == siblings[1].run.round.sampler and "oracle" in request["metrics"]


def test_the_oracle_is_not_asked_about_real_people(siblings, inputs):
    request = runs.run_dir(compare_versions(*siblings, inputs, num_seeds=1).run).read_request()
    assert "oracle" not in request["metrics"] and request["metrics"]


def test_scores_stand_at_their_videos(siblings, inputs):
    comparison = compare_versions(*siblings, inputs[:1], num_seeds=2)
    finish(comparison)
    comparison = VersionComparison.objects.get()
    first, second = places(comparison)
    assert first.is_whole and first.scores == [("Holi (oracle)", [0.25, 0.75])]
    assert not second.is_whole and second.scores == [("Holi (oracle)", [0.375, None])]
    assert [clip.why for clip in second.clips] == ["", "the disk is full"]


def test_it_is_no_evaluation_of_the_round(lea, siblings, inputs, settings):
    """Nothing that tells of a version against its parent takes it for that."""
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    add_endpoint("http://127.0.0.1:9/", [WebhookEvent.ROUND_FINISHED], lea)
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    finish(comparison)
    assert done_evaluation(comparison.run.round) is None
    assert not evaluations_of(siblings[1]).exists() and not WebhookMessage.objects.exists()


def test_one_that_failed_holds_no_round_up(siblings, inputs):
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    round, worker = comparison.run.round, uuid4()
    with pytest.raises(RoundError, match="compares something else"):
        queue_evaluation(round, siblings[1], seeds=[0])
    runs.end_run(claim(comparison.run, worker), worker, RunStatus.FAILED, "out of memory")
    assert advance_round(round).run.candidate == siblings[1]


def test_asking_twice_is_asking_once(siblings, inputs):
    asked = [compare_versions(*siblings, inputs, num_seeds=2) for _ in range(2)]
    assert asked[0] == asked[1] and VersionComparison.objects.count() == 1
    with pytest.raises(RoundError, match="is queued and compares something else; wait for it, or cancel it"):
        compare_versions(*reversed(siblings), inputs, num_seeds=2)
    with pytest.raises(RoundError, match="compares something else"):
        compare_versions(*siblings, inputs, num_seeds=1)


def test_an_evaluation_under_way_is_not_taken_for_it(siblings, inputs):
    version = siblings[1]
    queue_evaluation(version.run.round, version, seeds=[0], instances=inputs)
    with pytest.raises(RoundError, match="compares something else"):
        compare_versions(*siblings, inputs, num_seeds=1)
    assert not VersionComparison.objects.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"instances": []}, "Tick at least one input"),
        ({"num_seeds": "9"}, "num_seeds: "),
        ({"candidate": "999999"}, "candidate: "),
    ],
)
def test_a_wish_that_cannot_be_says_why(lea, siblings, inputs, sent, changes, says):
    answer = browser_of(lea).post("/models/compare/", form_of(*siblings, inputs) | changes)
    assert answer.status_code == 422 and says in answer.content.decode()
    assert not sent and not VersionComparison.objects.exists()


def test_a_version_is_not_compared_with_itself(lea, siblings, inputs):
    answer = browser_of(lea).post("/models/compare/", form_of(siblings[0], siblings[0], inputs))
    assert answer.status_code == 422 and "is on both sides" in answer.content.decode()
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    with pytest.raises(IntegrityError, match="two_versions"), transaction.atomic():
        VersionComparison.objects.filter(pk=comparison.pk).update(candidate=comparison.baseline)


def test_without_a_round_no_size_is_known(lea, inputs):
    answer = browser_of(lea).post("/models/compare/", form_of(make_model(), make_model(), inputs))
    assert answer.status_code == 422 and "so no size of videos is known" in answer.content.decode()


def test_what_is_not_offered_is_said(lea, siblings, inputs, monkeypatch):
    monkeypatch.setattr("annotate.evaluation.version_comparison_views.OFFERED", 1)
    page = browser_of(lea).get("/models/compare/").content.decode()
    assert "The first 1 of 2 held-out inputs." in page and f'id="input-{inputs[1].pk}"' not in page
    monkeypatch.setattr("annotate.evaluation.version_comparison_views.MAX_INPUTS", 1)
    answer = browser_of(lea).post("/models/compare/", form_of(*siblings, inputs))
    assert (
        answer.status_code == 422 and "2 inputs are ticked; compare on 1 at most." in answer.content.decode()
    )


def test_empty_pages_say_what_to_do(lea):
    assert "There is only one version" in browser_of(lea).get("/models/compare/").content.decode()
    make_model(), make_model()
    assert "Nobody is held out" in browser_of(lea).get("/models/compare/").content.decode()


def test_it_is_there_for_leads_only(ana, lea, siblings, inputs):
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    finish(comparison)
    clip = f"/media/comparisons/{comparison.pk}/baseline/{inputs[0].pk}/0"
    for address in ("/models/compare/", f"/models/compare/{comparison.pk}/", clip):
        assert browser_of(lea).get(address).status_code == 200
        assert browser_of(ana).get(address).status_code == 404
        assert browser_of(None).get(address).headers["Location"].startswith("/login/")


def test_the_part_that_changes_comes_alone_and_ends_with_the_whole(lea, siblings, inputs):
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    program = {"HX-Request": "true"}
    answer = browser_of(lea).get(f"/models/compare/{comparison.pk}/", headers=program)
    assert "<html" not in answer.content.decode() and "HX-Refresh" not in answer.headers
    finish(comparison)
    answer = browser_of(lea).get(f"/models/compare/{comparison.pk}/", headers=program)
    assert answer.headers["HX-Refresh"] == "true"


def test_whoever_is_erased_is_gone_from_it(lea, siblings, inputs):
    comparison = compare_versions(*siblings, inputs, num_seeds=1)
    finish(comparison)
    kept, erased = inputs
    clip = settings.STORAGE_ROOT / comparison.run.folder / "candidate" / f"{erased.pk}-0.mp4"
    assert clip.is_file()
    erase_identity(erased.group.name, really=True)
    page = browser_of(lea).get(f"/models/compare/{comparison.pk}/").content.decode()
    assert not clip.exists() and kept.prompt.text in page and f"/{erased.pk}/0" not in page
