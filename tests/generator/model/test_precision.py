"""The numbers that a device is fast at are found, kept with the work, and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from generator.model import precision  # noqa: E402
from generator.model.precision import Precision, choose_precision, settle_precision  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FLAGS = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""


def measured(**environment: str) -> float:
    """In a process of its own, since libraries read their limits once."""
    code = "from generator.model.precision import bfloat16_slowdown as f; print(f())"
    measured = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(measured.stdout)


@pytest.mark.skipif("avx2" not in FLAGS, reason="this processor has no avx2")
def test_it_sees_that_bfloat16_is_emulated_without_its_units() -> None:
    """Without AVX-512 each product converts both factors: many times float32, never near the threshold."""
    assert measured(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2") > 3


@pytest.mark.skipif(
    "avx512_bf16" not in FLAGS and "amx_bf16" not in FLAGS, reason="this processor has no units for bfloat16"
)
def test_it_sees_the_units_for_bfloat16() -> None:
    assert measured(ATEN_CPU_CAPABILITY="", ONEDNN_MAX_CPU_ISA="") < precision.WORTHWHILE


@pytest.mark.parametrize(("slowdown", "is_bf16"), [(0.3, True), (1.2, False), (17.0, False)])
def test_a_cpu_takes_what_it_is_fast_at_unless_it_is_told(monkeypatch, slowdown, is_bf16) -> None:
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: slowdown)
    assert choose_precision(device="cpu").bf16 is is_bf16
    for asked in (True, False):
        told = choose_precision(asked, device="cpu")
        assert (told.bf16, told.suits_bf16, told.slowdown) == (asked, is_bf16, slowdown)
        assert f"{slowdown:.1f} times as long" in str(told)


@pytest.mark.parametrize("slowdown", [0.3, 17.0])
def test_what_is_compared_is_exact_on_a_cpu(monkeypatch, slowdown) -> None:
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: slowdown)
    chosen = choose_precision(device="cpu", exact=True)
    assert (chosen.bf16, chosen.suits_bf16) == (False, slowdown < 1)
    assert choose_precision(True, device="cpu", exact=True).bf16


def test_a_folder_keeps_what_its_work_began_with(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 17.0)
    first = settle_precision(tmp_path, device="cpu")
    assert not first.bf16
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 0.3)
    assert (
        settle_precision(tmp_path, device="cpu") == settle_precision(tmp_path, False, device="cpu") == first
    )
    with pytest.raises(ValueError, match="began in float32, not bfloat16"):
        settle_precision(tmp_path, True, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["precision.json"]


def test_it_travels_as_json() -> None:
    chosen = Precision(True, "cpu", True, 0.31)
    values = json.loads(json.dumps(chosen.to_json()))
    assert values["name"] == "bfloat16" and Precision.from_json(values) == chosen
