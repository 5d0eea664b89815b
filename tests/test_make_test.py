"""`make test` says all that it knows: both halves run, and one summary names what failed in either."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests import halves
from tests.halves import Outcome, run_pytest, summary
from tests.matrix import ATEN, MACHINE, ONEDNN, ORDERS, THREADS, Row, numerical_files, rows, run_row

pytestmark = pytest.mark.slow

PLANTED = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("planted")

def test_passes(): pass
def test_fails(): assert False, "planted"
def test_is_skipped(): pytest.skip("planted")
def test_has_no_setup(broken): pass
"""


@pytest.fixture
def planted(tmp_path: Path) -> list[str]:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    return ["-q", "-p", "no:cacheprovider", "-p", "no:django", f"--rootdir={tmp_path}", str(tmp_path)]


def test_it_counts_and_names_what_pytest_found(planted: list[str]) -> None:
    outcome = run_pytest(planted, {})
    assert (outcome.code, outcome.passed, outcome.skipped) == (1, 1, 1)
    assert sorted(name.rpartition("::")[2] for name in outcome.failed) == ["test_fails", "test_has_no_setup"]


def test_a_run_that_dies_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_dies.py").write_text("import os\nos._exit(9)\n")
    outcome = run_pytest(["-p", "no:django", f"--rootdir={tmp_path}", str(tmp_path)], {})
    assert outcome.code == 9 and outcome.failed == ("pytest ended with exit status 9 and no report",)


def test_the_second_half_runs_after_a_failure_and_both_are_named(
    monkeypatch: pytest.MonkeyPatch, planted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(halves, "HALVES", {"first": (planted, {}), "second": (planted, {})})
    assert halves.main([]) == 1
    said = capsys.readouterr().out
    assert said.count("::test_fails") == said.count("::test_has_no_setup") == 2
    assert said.rstrip().endswith("2 passed, 4 failed, 2 skipped")


def test_green_halves_end_green() -> None:
    outcomes = {"first": Outcome(0, 1.0, 3, 1, ()), "second": Outcome(0, 2.0, 2, 0, ())}
    assert summary(outcomes).endswith("5 passed, 0 failed, 1 skipped") and "FAILED" not in summary(outcomes)


def test_every_two_values_of_the_matrix_meet() -> None:
    met = [(row.aten, row.onednn, row.threads, row.order) for row in rows()]
    assert len(met) == 9
    factors = (ATEN, ONEDNN, THREADS, ORDERS)
    for (i, first), (j, second) in itertools.combinations(enumerate(factors), 2):
        assert {(row[i], row[j]) for row in met} == set(itertools.product(first, second))


def test_what_the_processor_lacks_is_skipped_by_name() -> None:
    row = Row("avx2", MACHINE, 1, 1)
    assert run_row(row, {"sse4_1"}) == "skipped: this processor has no avx2"
    assert Row("default", MACHINE, 1, 1).environment == {
        "OMP_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "default",
    }


def test_the_matrix_takes_the_files_that_compute() -> None:
    files = numerical_files()
    assert "tests/generator/prompts/test_language_models.py" in files
    assert "tests/rlhf/dpo/test_dpo_trainer.py" in files
    assert not any(name.startswith(("tests/annotate", "tests/browser")) for name in files)
