"""The straightforward trainer is the same training, and what the benchmark counts is what it says."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from bench import dpo_step  # noqa: E402
from bench.memory import peak_bytes  # noqa: E402
from generator.portraits.tiny import build_tiny_pipeline, build_transformer  # noqa: E402


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dpo_step, "BATCH", 2)
    monkeypatch.setattr(dpo_step, "PAIRS", 2)
    monkeypatch.setattr(dpo_step, "MEASURED_STEPS", 1)
    torch.manual_seed(0)
    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained("model")
    return tmp_path / "model"


@pytest.mark.slow
def test_both_ways_are_one_training(model, capsys) -> None:
    """Random weights, one layer, two steps; the benchmark itself stops where the losses differ."""
    cases = (dpo_step.Case("2 stills, 1 clip", "needed"),)
    path = dpo_step.measure(model, steps=2, timed_steps=1, rounds=1, cases=cases)
    rows = json.loads(path.read_text())["rows"]
    (row,) = rows
    assert (row["references"], row["autograd"]) == ("2 stills, 1 clip", "needed")
    assert 0 <= row["max_difference"] <= dpo_step.TOLERANCE
    assert row["times_faster"] > 0
    assert 0 < row["split_mib"] < row["ours_mib"]
    assert "times_faster" in capsys.readouterr().out


def test_it_times_nothing_where_the_losses_differ(model, monkeypatch) -> None:
    monkeypatch.setattr(dpo_step, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="losses differ by"):
        dpo_step.measure(model, steps=1, rounds=1, cases=dpo_step.CASES[2:3])


def test_memory_is_what_lives_at_once() -> None:
    """Four MiB, freed, then two of three: the peak is six."""

    def work() -> None:
        first = torch.zeros(2**20)
        del first
        second = torch.zeros(3 * 2**18)
        third = torch.zeros(3 * 2**18)
        del second, third

    assert peak_bytes(work) == pytest.approx(6 * 2**20, rel=0.01)
