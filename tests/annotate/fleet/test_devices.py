"""Which devices a machine has, and one process for each."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from annotate.fleet.__main__ import command, main
from annotate.fleet.devices import Device, DeviceError, chosen_devices


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, NVIDIA H200\\n1, NVIDIA H200\\n'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("two_gpus")
def test_all_or_some_devices_are_chosen():
    assert chosen_devices("all", 2) == [Device(0, "NVIDIA H200"), Device(1, "NVIDIA H200")]
    assert chosen_devices("1", 2) == [Device(1, "NVIDIA H200")]
    with pytest.raises(DeviceError, match="has no GPU 5; it has 0, 1; use all"):
        chosen_devices("0,5", 2)


def test_a_machine_without_a_gpu_works_on_its_cpu(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert chosen_devices("all", 1) == [Device(None, "CPU")]
    assert main(["--devices", "0"]) == 2
    assert "this machine has no GPU 0; it has none; use all" in capsys.readouterr().err


def test_a_process_sees_its_own_device_alone():
    of_gpu, of_cpu = command(Device(3, "NVIDIA H200")), command(Device(None, "CPU"))
    assert of_gpu.name == "gpu-3" and of_gpu.argv[:2] == ["env", "CUDA_VISIBLE_DEVICES=3"]
    assert of_cpu.name == "gpu-cpu" and "env" not in of_cpu.argv


def test_the_parts_of_a_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    parts = chosen_devices("all", 3)
    assert [part.label for part in parts] == ["cpu", "cpu-2", "cpu-3"]
    assert all(part.environment == {"OMP_NUM_THREADS": "2"} for part in parts)
    (whole,) = chosen_devices("all", 1)
    assert whole.environment == Device(0, "NVIDIA H200").environment == {}
