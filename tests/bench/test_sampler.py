"""The straightforward way makes the same videos, whichever way its guidance is cut."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from bench import sampler  # noqa: E402
from generator.portraits.tiny import build_tiny_pipeline, build_transformer  # noqa: E402


@pytest.mark.slow
def test_it_compares_two_ways_to_one_video(tmp_path, monkeypatch, capsys) -> None:
    """Random weights, one layer and two steps; the benchmark itself stops where the latents differ."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sampler, "NUM_FRAMES", 5)
    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained("model")
    cases = (sampler.Case("mixed", "modality"), sampler.Case("stills", "reference"))
    path = sampler.measure(tmp_path / "model", steps=2, rounds=1, cases=cases)
    rows = json.loads(path.read_text())["rows"]
    assert [(row["references"], row["guidance"]) for row in rows] == [
        ("mixed", "modality"),
        ("stills", "reference"),
    ]
    assert all(0 <= row["max_difference"] <= sampler.TOLERANCE for row in rows)
    assert all(row["times_faster"] > 0 for row in rows)
    assert "times_faster" in capsys.readouterr().out


def test_it_times_nothing_where_the_videos_differ(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_tiny_pipeline().save_pretrained("model")
    monkeypatch.setattr(sampler, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="the two ways differ by"):
        sampler.measure(tmp_path / "model", steps=1, rounds=1)
