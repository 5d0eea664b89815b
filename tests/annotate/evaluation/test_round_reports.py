"""What a round's page, and the demo's report, say of what it tuned."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from django.template.loader import render_to_string

from annotate.evaluation.evaluations import queue_evaluation
from annotate.evaluation.tables import sheet_path
from annotate.management.commands.demo import _lines as demo_lines
from annotate.models import Round
from annotate.rounds import queries
from annotate.storage.opening import site_storage
from tests.annotate.evaluated import CELL, RESULT, TRACK, request_of, round_of_the_shipped_model, tuned
from tests.factories import SAMPLER, make_pair, make_round, make_user
from tests.runs import end

pytestmark = pytest.mark.django_db


@pytest.fixture
def round() -> Round:
    return round_of_the_shipped_model()


def test_a_track_on_which_nothing_could_be_compared_says_so():
    assert "No video could be compared" in render_to_string(
        "annotate/shared/_win_rate.html", {"title": "Identity"}
    )


def test_the_report_of_a_round_has_the_whole_table(round):
    """What was tuned is compared; ablations before that are not its evaluation."""
    assert queries.round_report(round)["evaluation_table"] == {}
    end(queue_evaluation(round, tuned(round), seeds=[0]), **RESULT, identity=TRACK, controllability=TRACK)
    report = queries.round_report(round)
    assert report["evaluation"]["identity"] == TRACK and report["in_use"] == []
    assert report["evaluation_table"]["table"] == RESULT["table"]
    printed = "\n".join(demo_lines(report | {"wall_s": {}, "later_rounds": []}))
    assert "tuned model wins 0.60 [0.50, 0.70] of 4; mean -9.50 -> -7.25 [+1.50, +3.00]" in printed
    assert "Holi (oracle)  45.67 [40.00, 60.00]  50.00 [40.00, 60.00]" in printed
    assert f"{report['evaluation_folder']}/report.html" in printed


def test_faults_are_told_before_and_after_and_so_is_the_comparison_in_use(round, client):
    """30 videos in 100 had the fault and 12 have it; the other comparison is at another setting."""
    version = tuned(round)
    column = {"name": "fault_claim", "label": "Fault: changes not made", "metric": "oracle", "paper": None}
    change = {"gain": -0.18, "gain_low": -0.25, "gain_high": -0.1, "win_rate": 0.4, "low": 0.3, "high": 0.5}
    found = {
        **RESULT,
        **{"compare": ["baseline", "candidate"], "identity": TRACK, "controllability": TRACK},
        "systems": {"baseline": {"label": "sft"}, "candidate": {"label": "tuned"}},
        "columns": [column | {"unit": "share", "lower_is_better": True}],
        "table": {
            "baseline": {"fault_claim": CELL | {"mean": 0.3}},
            "candidate": {"fault_claim": CELL | {"mean": 0.12}},
        },
        "differences": {"baseline": {"fault_claim": change}},
    }
    end(queue_evaluation(round, version, seeds=[0]), **found, settings=round.sampler)
    in_use = replace(SAMPLER, guidance_scale=3.0, num_inference_steps=7)
    run = queue_evaluation(round, version, seeds=[0], baseline=version.parent, sampler=in_use)
    assert request_of(run)["settings"] == asdict(in_use) and request_of(run)["reference"] == "candidate"
    end(run, **found, settings=asdict(in_use))
    report = queries.round_report(round)
    assert [one["settings"]["guidance_scale"] for one in report["in_use"]] == [3.0]
    printed = "\n".join(demo_lines(report | {"wall_s": {}, "later_rounds": []}))
    assert printed.count("Fault: changes not made     30% ->  12% [-0.25, -0.10]") == 2
    assert "with guidance 3 and 7 steps" in printed
    site_storage().put(sheet_path(run), b"a picture")
    client.force_login(make_user(role="lead"))
    page = client.get(f"/rounds/{round.pk}/").content.decode()
    assert page.count("Fault: changes not made") == 2 and "The same with guidance 3 and 7 steps" in page
    assert page.count(f"/runs/{run.pk}/sheet.jpg") == 1
    assert b"".join(client.get(f"/runs/{run.pk}/sheet.jpg")) == b"a picture"
    client.force_login(make_user())
    assert client.get(f"/runs/{run.pk}/sheet.jpg").status_code in (403, 404)


def test_a_round_that_follows_another_is_held_against_the_model_before_any_votes(round, client):
    first = tuned(round)
    assert round.policy.before_votes == round.policy == first.before_votes
    second = make_pair(make_round(name="second", policy=first)).round
    version = tuned(second)
    found = RESULT | {"compare": ["baseline", "candidate"], "identity": TRACK, "controllability": TRACK}
    end(queue_evaluation(second, version, seeds=[0]), **found, settings=second.sampler)
    assert queries.round_report(second)["against_start"] is None
    for baseline in (first, round.policy):
        run = queue_evaluation(second, version, seeds=[0], baseline=baseline)
        systems = {"baseline": {"label": baseline.name}, "candidate": {"label": version.name}}
        end(run, **found | {"systems": systems, "settings": second.sampler})
    report = queries.round_report(second)
    start = report["against_start"]
    assert start["baseline"] == round.policy.name and start["folder"] == run.folder and report["in_use"] == []
    whole = queries.round_report(round) | {"dpo": report["dpo"], "wall_s": {}, "later_rounds": [report]}
    printed = "\n".join(demo_lines(whole))
    assert f"round second, from {first.name}" in printed
    assert f"against {round.policy.name}, the model before any votes" in printed
    client.force_login(make_user(role="lead"))
    page = client.get(f"/rounds/{second.pk}/").content.decode()
    assert f"Against {round.policy}, the model before any votes" in page and f"/runs/{run.pk}/" in page
