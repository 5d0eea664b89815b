"""The lines that measure the 5B model run on the tiny configuration."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from bench import wan5b  # noqa: E402


def test_it_runs_every_case_on_the_tiny_configuration(tmp_path, monkeypatch, capsys) -> None:
    """Nine frames at 64 x 64 are 3 x 16 tokens; a still adds 16, a clip of 33 frames 9 x 16."""
    monkeypatch.chdir(tmp_path)
    wan5b.main(["--tiny", "--rounds", "1"])
    written = json.loads((tmp_path / "var/bench/wan5b-tiny.json").read_text())
    tokens = {row["references"]: row["tokens"] for row in written["rows"]}
    assert tokens == {"none": 48, "1 still": 64, "3 stills": 96, "5 stills": 128, "33-frame clip": 192}
    assert all(row["step_s"] > 0 and row["matrix_share"] > 0 for row in written["rows"])
    assert written["attention"] == "native" and written["matrix_tflops"] > 0
    assert "33-frame clip" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so it would run")
def test_it_says_in_one_line_that_there_is_no_gpu(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    wan5b.main()
    line = capsys.readouterr().out
    assert "there is no GPU here" in line and line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
