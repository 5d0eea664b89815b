"""One funnel: every page, the API and the commands say the same of a round."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate.exports.freezing import export_round
from annotate.models import Round
from annotate.quality.disqualification import disqualify, settle
from annotate.rounds.funnel_queries import FunnelStage, funnels, round_funnel
from annotate.rounds.queries import round_report
from rlhf.export.rule import ExportRule
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair, make_round, make_sample, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def round() -> Round:
    """Three pairs judged, of which one was dominant for a while; one waits, and one is not made."""
    round, ana = make_round(), make_user()
    for verdict, person in ((Verdict.FIRST, None), (Verdict.SECOND, None), (Verdict.FIRST, ana)):
        pair = make_pair(round)
        vote(pair, Track.IDENTITY, Verdict.FIRST, person)
        vote(pair, Track.CONTROLLABILITY, verdict)
    make_pair(round)
    make_pair(round, is_made=False)
    export_round(round)
    settle(disqualify(ana, "answers without looking", make_user(role="lead")).pk)
    return round


def rows_of(page: str) -> dict[str, str]:
    table = page.split('<table class="funnel stages">')[1].split("</table>")[0]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>.*?</td><td class="number">(.*?)</td>', table)
    return dict(rows)


def test_every_page_and_the_api_say_the_same(round, lea, capsys):
    expected = {
        stage.title: f"{stage.count}" + (f" of {stage.of}" if stage.of is not None else "")
        for stage in round_funnel(round).stages
    }
    for address in (f"/rounds/{round.pk}/", f"/rounds/{round.pk}/numbers/"):
        answer = browser_of(lea).get(address)
        assert answer.status_code == 200 and rows_of(answer.content.decode()) == expected
    funnel = round_funnel(round).to_json()
    assert machine_of(lea).get(f"/api/rounds/{round.pk}/").json()["funnel"] == funnel
    assert [one["funnel"] for one in machine_of(lea).get("/api/rounds/").json()["results"]] == [funnel]
    report = round_report(round)
    assert report["joint_states"] == funnel["joint_states"] and report["exported_pairs"] == 2
    call_command("sample_pairs", "--round", round.name, "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["samples"], told["samples_wanted"]) == (funnel["samples"], funnel["samples_wanted"])
    assert (funnel["dominant"], funnel["exported_pairs"]) == (1, 2), "what was exported stays exported"


def test_a_video_counts_once_however_many_pairs_show_it():
    round = make_round()
    pair = make_pair(round)
    third = make_sample(pair.instance, round.policy)
    round.pairs.create(instance=pair.instance, first=pair.first, second=third)
    assert (round_funnel(round).samples, round_funnel(round).pairs) == (3, 2)


def test_the_number_of_statements_does_not_grow_with_the_rounds(round):
    with CaptureQueriesContext(connection) as one:
        funnels([round])
    others = [make_round(policy=round.policy) for _ in range(5)]
    for other in others:
        make_pair(other)
    with CaptureQueriesContext(connection) as many:
        found = funnels([round, *others])
    assert len(many) == len(one)
    assert {other.pk: found[other.pk] for other in others} == {o.pk: round_funnel(o) for o in others}


def test_an_export_by_another_rule_is_measured_against_all_pairs(round):
    export = export_round(round, rule=ExportRule.IDENTITY)
    exported = next(stage for stage in round_funnel(round).stages if stage.title == "Exported")
    assert (exported.count, exported.of) == (export.num_pairs, 5)


def test_what_a_withdrawn_export_trained_is_no_share_of_nothing(round):
    trained = replace(round_funnel(round), exported_pairs=0, trained_pairs=22)
    assert trained.stages[-1] == FunnelStage("Trained on", 22, None)
    assert replace(trained, exported_pairs=30).stages[-1].of == 30
