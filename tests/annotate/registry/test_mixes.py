"""Mixes: any adapters of a lineage with weights, from the page to what the sampler is asked for."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from annotate.core.errors import RoundError
from annotate.jobs import runs
from annotate.jobs.requests import model_request
from annotate.models import MixedAdapter, ModelVersion, Run
from annotate.registry.mixes import make_mix
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from generator.adapter_files import adapters_in
from generator.rundir import RunDir
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_model, make_round
from tests.versions import judged_round, train

pytestmark = pytest.mark.django_db


@pytest.fixture
def line() -> tuple[ModelVersion, ModelVersion, ModelVersion]:
    """A base, a version on it, and one on that."""
    child = train(judged_round())
    grandchild = train(judged_round(policy=child))
    return ModelVersion.objects.get(pk=child.parent_id), child, grandchild


def test_a_lead_mixes_and_a_round_samples_it(lea, line):
    base, child, grandchild = line
    address = f"/models/{grandchild.pk}/mix/"
    page = browser_of(lea).get(address).content.decode()
    assert f'name="weight-{child.pk}"' in page and 'value="1"' in page
    form = {f"weight-{child.pk}": "0.5", f"weight-{grandchild.pk}": "-1.25", "name": "half and half"}
    answer = browser_of(lea).post(address, form)
    mix = ModelVersion.objects.get(name="half and half")
    assert answer.headers["Location"] == f"/models/{mix.pk}/" and (mix.kind, mix.parent) == ("mix", base)
    assert mix.adapters() == [(child, 0.5), (grandchild, -1.25)]
    page = browser_of(lea).get(f"/models/{mix.pk}/").content.decode()
    assert f"{child.name}</a> at 0.5" in page and f"{grandchild.name}</a> at -1.25" in page
    card = browser_of(lea).get(f"/models/{mix.pk}/card/").content.decode()
    assert f"at these strengths: {child.name} at 0.5, {grandchild.name} at -1.25" in card

    round = make_round(policy=mix)
    plan_pairs(round, [make_instance()])
    request = runs.run_dir(queue_sampling(round)).read_request()
    assert [weight for _, weight in adapters_in(request["model"])] == [0.5, -1.25]
    trained_on_it = train(judged_round(policy=mix))
    assert trained_on_it.adapters() == [(child, 0.5), (grandchild, -1.25), (trained_on_it, 1.0)]
    folder = RunDir(runs.run_dir(Run.objects.first()).path)
    assert isinstance(model_request(trained_on_it, folder)["adapters"][-1], str), "weight 1 goes unsaid"


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        ("", {"child": 1.0}, "1 to 100 characters"),
        ("mix", {}, "no adapter has a weight"),
        ("mix", {"child": 0.0}, "must be a number other than 0"),
        ("mix", {"child": 5.0}, "from -4 to 4"),
        ("mix", {"child": float("nan")}, "must be a number other than 0"),
        ("mix", {"base": 1.0}, "has no adapter on"),
    ],
)
def test_what_cannot_be_mixed_is_refused(line, name, weights, says):
    names = dict(zip(("base", "child"), (one.name for one in line), strict=False))
    with pytest.raises(RoundError, match=says):
        make_mix(name, line[0], {names[key]: weight for key, weight in weights.items()}, None)
    assert not ModelVersion.objects.filter(kind="mix").exists()


def test_a_weight_that_is_no_number_stays_in_the_form(lea, line):
    answer = browser_of(lea).post(f"/models/{line[1].pk}/mix/", {f"weight-{line[1].pk}": "much", "name": "m"})
    page = answer.content.decode()
    assert (
        answer.status_code == 422
        and "is &#x27;much&#x27;; it must be a number" in page
        and 'value="much"' in page
    )


def test_the_database_keeps_mixes_whole(line):
    base, child, _ = line
    mix = make_mix("mix", base, {child.name: 1.0}, None)
    with pytest.raises(IntegrityError, match="weight_in_range"), transaction.atomic():
        MixedAdapter.objects.update(weight=0)
    with pytest.raises(IntegrityError, match="_mix"), transaction.atomic():
        ModelVersion.objects.filter(pk=mix.pk).update(adapter_path="somewhere")
    with pytest.raises(IntegrityError, match="has_origin"), transaction.atomic():
        make_model(parent=base, adapter_path="somewhere")


def test_pages_are_for_leads(ana, line):
    for address in (f"/models/{line[1].pk}/mix/", "/models/register/", "/models/sft/", "/models/sets/1/"):
        assert browser_of(ana).get(address).status_code == 404
        assert browser_of(None).get(address).status_code == 302
