"""Samplers share the devices of a machine; a whole run has them alone, and is not kept waiting for ever."""

from __future__ import annotations

from pathlib import Path

from annotate.fleet.turns import Turns


def test_a_whole_run_waits_for_samplers_and_they_begin_nothing_more(tmp_path: Path):
    one, other, training = (Turns(tmp_path / "devices") for _ in range(3))
    assert one.take_shared() and other.take_shared()
    assert not training.take_alone()
    assert one.are_wanted()
    assert not one.take_shared() and not training.take_alone()
    assert not other.take_shared()
    assert training.take_alone() and training.take_alone()
    assert not one.take_shared()
    training.leave()
    assert one.take_shared() and not one.are_wanted()


def test_whole_runs_take_turns(tmp_path: Path):
    first, second = (Turns(tmp_path / "devices") for _ in range(2))
    assert first.take_alone() and not second.take_alone()
    first.leave()
    assert second.take_alone()
