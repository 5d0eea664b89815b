"""What an evaluation found is on its run's page, for leads; its report is a file of theirs."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.conf import settings

from annotate.models import Run, RunStatus, Stage
from rlhf.evaluation.report.page import write_report
from tests.annotate.conftest import browser_of
from tests.factories import make_model, make_round
from tests.rlhf.evaluation.planted_result import planted_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    """Evaluated, with a report."""
    round = make_round()
    folder = f"runs/round-{round.pk}/evaluate-1"
    place = settings.STORAGE_ROOT / folder
    # A round of a test that began its numbers anew may have had the same number.
    place.mkdir(parents=True, exist_ok=True)
    result = planted_run(place)
    write_report(place, result)
    return make_run(round, folder, result)


def make_run(round: Any, folder: str, result: dict[str, Any]) -> Run:
    return Run.objects.create(
        round=round,
        stage=Stage.EVALUATE,
        ordinal=1,
        folder=folder,
        status=RunStatus.DONE,
        result=result,
        candidate=make_model(),
    )


def page_of(run: Run, person: Any) -> str:
    answer = browser_of(person).get(f"/runs/{run.pk}/")
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_the_page_has_the_figures_of_the_result(lea, run):
    page = page_of(run, lea)
    assert run.result is not None
    for cells in run.result["table"].values():
        for cell in cells.values():
            assert f"{100 * cell['mean']:.2f}" in page
    for cells in run.result["differences"].values():
        for cell in cells.values():
            assert f"{100 * cell['gain']:+.2f}".replace("-", "−") in page
    assert "before <DPO>" in page and "1 missing" in page and "Holds" in page
    assert f"/runs/{run.pk}/report/" in page


def test_the_page_of_the_round_leads_there(lea, run):
    assert run.result is not None
    page = browser_of(lea).get(f"/rounds/{run.round_id}/").content.decode()
    assert f'href="/runs/{run.pk}/"' in page.split("<h2>Evaluation</h2>")[1]
    assert f"{run.result['identity']['win_rate']:.3f}" in page


def test_the_report_is_a_file_for_leads_alone(ana, lea, run):
    address = f"/runs/{run.pk}/report/"
    answer = browser_of(None).get(address)
    assert answer.status_code == 302 and answer.headers["Location"].startswith("/login/")
    assert browser_of(ana).get(address).status_code == 404
    answer = browser_of(lea).get(address)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="evaluation-{run.pk}.html"'
    assert answer.headers["Content-Type"].startswith("text/html")
    stored = settings.STORAGE_ROOT / run.folder / "report.html"
    assert b"".join(answer.streaming_content) == stored.read_bytes()
    assert browser_of(lea).post(address).status_code == 405


def test_without_a_report_the_page_says_so(lea, run):
    (settings.STORAGE_ROOT / run.folder / "report.html").unlink()
    page = page_of(run, lea)
    assert "There is no report" in page and f"/runs/{run.pk}/report/" not in page
    assert browser_of(lea).get(f"/runs/{run.pk}/report/").status_code == 404


def test_only_evaluations_have_reports(lea, run):
    Run.objects.filter(pk=run.pk).update(stage=Stage.SAMPLE)
    assert browser_of(lea).get(f"/runs/{run.pk}/report/").status_code == 404


def test_a_run_from_before_there_were_columns_still_has_a_page(lea, run):
    old = {name: (run.result or {})[name] for name in ("identity", "controllability")}
    page = page_of(make_run(make_round(), "runs/old/evaluate-1", old), lea)
    assert "made before there was one" in page and f"{old['identity']['win_rate']:.3f}" in page
