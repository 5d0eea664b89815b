"""The lines that measure a DPO step of the 5B model run on the tiny configuration."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from bench import dpo5b, wan5b  # noqa: E402


def test_it_runs_every_case_on_the_tiny_configuration(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    dpo5b.main(["--tiny", "--rounds", "1", "--split"])
    written = json.loads((tmp_path / "var/bench/dpo5b-tiny.json").read_text())
    assert [(row["references"], row["tokens"]) for row in written["rows"]] == [(0, 48), (3, 96), (5, 128)]
    assert all(row["step_s"] > 0 and row["times_floor"] > 0 for row in written["rows"])
    assert written["config"]["split_branches"] and written["config"]["rank"] == 64
    assert "times_floor" in capsys.readouterr().out


@pytest.mark.parametrize(("references", "petaflops"), [(0, 2.95), (3, 3.44), (5, 3.79)])
def test_its_floor_is_that_of_the_arithmetic(references, petaflops) -> None:
    """Of 27,280 tokens at the released size and 880 a still, counted layer by layer by PyTorch elsewhere."""
    scale = wan5b.full_scale()
    assert dpo5b.floor_flops(27_280 + 880 * references, scale) / 1e15 == pytest.approx(petaflops, rel=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so it would run")
def test_it_says_in_one_line_that_there_is_no_gpu(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    dpo5b.main()
    line = capsys.readouterr().out
    assert "there is no GPU here" in line and line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
