"""Runs take turns, and figures carry their spread."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from bench import timing


def test_it_takes_turns_so_that_drift_cancels(monkeypatch) -> None:
    """Every run takes a second more than the one before: a round's means are equal all the same."""
    order, clock = [], iter(range(100))
    monkeypatch.setattr(timing, "seconds", lambda work: (work(), next(clock))[1])
    ours, theirs = timing.take_turns(lambda: order.append("o"), lambda: order.append("t"), rounds=2)
    assert "".join(order) == "ot" + "otto" * 2
    assert ours == theirs == [1.5, 5.5]


def test_it_gives_quartiles_and_an_interval_of_the_median() -> None:
    assert timing.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert timing.quartiles([7.0]) == (7.0, 7.0, 7.0)
    low, high = timing.median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 1.0 <= low <= 3.0 <= high <= 5.0
    assert timing.median_interval([2.0] * 4) == (2.0, 2.0)


def test_it_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    path = timing.report(
        "speed", [{"case": "a", "s": 1.23456, "span": [1.0, 2.0]}, {"case": "b", "s": None, "span": []}]
    )
    written = json.loads(path.read_text())
    assert written["rows"][0] == {"case": "a", "s": 1.23456, "span": [1.0, 2.0]}
    assert written["machine"]["threads"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["case", "s", "span"]
    assert lines[1].split() == ["a", "1.23", "1-2"]
