"""The report says what the result says, to the digit shown, and says what is missing."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from generator.rundir import RunDir, run_command
from rlhf.evaluation.report.page import main, write_report
from rlhf.evaluation.report.tables import holes_of, system_rows
from tests.rlhf.evaluation.planted_result import GAINS, PROMPT, WHY, facts_of, planted_run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, planted_run(folder)


def cell_of(page: str, table: str, system: str, column: str) -> str:
    """The text of a cell, or of the row that a system and a column have in a table of rows."""
    inside = re.search(rf'<table[^>]*id="{table}".*?</table>', page, re.DOTALL)
    assert inside is not None
    found = re.search(rf'<tr data-system="{system}" data-column="{column}">(.*?)</tr>', inside[0], re.DOTALL)
    row = re.search(rf'<tr data-system="{system}">.*?</tr>', inside[0], re.DOTALL)
    found = found or (row and re.search(rf'data-column="{column}">(.*?)</td>', row[0], re.DOTALL))
    assert found, (system, column)
    return " ".join(unescape(re.sub("<[^>]+>", " ", found[1])).split())


def test_its_tables_are_those_of_the_result(planted):
    folder, result = planted
    page = write_report(folder, result).read_text()
    for system, cells in result["table"].items():
        for column, cell in cells.items():
            told = cell_of(page, "main-table", system, column)
            assert told.startswith(f"{100 * cell['mean']:.2f} "), (system, column, told)
    for system, cells in result["differences"].items():
        for column, cell in cells.items():
            told = cell_of(page, "differences-table", system, column).replace("−", "-")
            assert f" {100 * cell['gain']:+.2f} [{100 * cell['gain_low']:+.2f}, " in told, (
                system,
                column,
                told,
            )
            assert f" {100 * cell['win_rate']:.1f} [" in told and told.endswith(f" {cell['n']}")
    for cell in result["directions"]:
        told = cell_of(page, "ablations-table", cell["system"], cell["column"])
        assert f"{cell['paper_full']:.2f} {cell['paper_ablated']:.2f}" in told
        assert told.endswith(cell["holds"])


def test_a_hole_is_counted_and_named_and_no_zero(planted):
    folder, result = planted
    page = write_report(folder, result).read_text()
    assert cell_of(page, "main-table", "alone", "holi_oracle").endswith("1 missing")
    assert "missing" not in cell_of(page, "main-table", "candidate", "holi_oracle")
    assert WHY in unescape(page) and "11-7" in page


def test_what_was_not_asked_is_no_failure(planted):
    whys = {"11": "not asked: nothing of this kind changes", "12": WHY, "13": WHY}
    videos = [
        {"system": "alone", "instance_id": instance, "seed": 7, "holes": {"dyn": why}}
        for instance, why in whys.items()
    ]
    found = holes_of({**planted[1], "videos": videos}, [])
    assert [(one.is_failure, one.videos) for one in found] == [(True, ("12-7", "13-7")), (False, ("11-7",))]


def test_the_best_and_the_worst_cases_come_first(planted):
    """By the planted gains; every system is shown, with five frames each, the primary and its references."""
    folder, result = planted
    page = write_report(folder, result).read_text()
    gains, losses = page.split("Largest gains")[1].split("Largest losses")
    losses = losses.split('id="frames"')[0]
    order = sorted(GAINS, key=lambda instance: -GAINS[instance])
    assert re.findall(r"instance (\d+),", gains) == [one for one in order if GAINS[one] > 0]
    assert re.findall(r"instance (\d+),", losses) == [one for one in order[::-1] if GAINS[one] < 0]
    assert f"+{100 * GAINS[order[0]]:.2f} points" in gains
    assert losses.count("data:image/jpeg;base64,") == 1 + 3 * 5 + 1


def test_equal_results_give_equal_bytes_and_leave_nothing_else(planted):
    folder, result = planted
    first = write_report(folder, result).read_bytes()
    assert write_report(folder, result).read_bytes() == first
    assert [path.name for path in folder.glob("*report*")] == ["report.html"]


def test_it_asks_for_nothing_and_runs_nothing(planted):
    """What people wrote is text; every address in it is of data that it holds."""
    folder, result = planted
    page = write_report(folder, result).read_text()
    assert PROMPT not in page and PROMPT in unescape(page) and "before <DPO>" not in page
    assert "<script" not in page and "http:" not in page and "https:" not in page
    assert set(re.findall(r'(?:src|href)="([a-z]+):', page)) == {"data"}


def test_a_column_that_rests_on_two_things_is_refused(planted):
    folder, result = planted
    metrics = [*result["metrics"], facts_of("quality", "dyn", model="another model").to_json()]
    page = unescape(write_report(folder, {**result, "metrics": metrics}).read_text())
    assert "Dyn. is left out" in page and "quality by another model" in page
    assert 'data-column="dyn"' not in page and 'data-column="holi_oracle"' in page


def test_a_video_that_is_gone_is_named(planted, tmp_path):
    result = planted_run(tmp_path)
    (tmp_path / "candidate" / "11-7.mp4").unlink()
    (tmp_path / "candidate" / "14-7.mp4").write_bytes(b"no video")
    page = unescape(write_report(tmp_path, result).read_text())
    assert "11-7.mp4 is not there any more" in page and "14-7.mp4 cannot be read" in page


def test_it_is_written_again_from_a_finished_run(planted, tmp_path, capsys):
    result = planted_run(tmp_path)
    assert run_command(main, [str(tmp_path)]) == 1
    assert "has no result.json yet" in capsys.readouterr().err
    RunDir(tmp_path).write_result(result)
    assert run_command(main, [str(tmp_path)]) == 0
    written = (tmp_path / "report.html").read_bytes()
    assert written == write_report(tmp_path, result).read_bytes()


def test_a_result_from_before_there_were_columns_has_a_report_too(planted, tmp_path):
    old = {name: planted[1][name] for name in ("identity", "controllability", "failed")}
    page = unescape(write_report(tmp_path, old).read_text())
    assert f"{100 * old['identity']['win_rate']:.1f} %" in page
    for told in ("No table", "No differences", "No ablations were run", "names no metrics"):
        assert told in page


def test_the_order_of_the_systems_survives_a_database(planted):
    """PostgreSQL orders the names of an object by itself."""
    result = planted[1]
    shuffled = {**result, "systems": {name: result["systems"][name] for name in sorted(result["systems"])}}
    assert [system.name for system in system_rows(shuffled)] == ["baseline", "candidate", "alone"]
