"""Two real processes on the CPU, which meet over gloo, train what one trains on the doubled batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from safetensors.torch import load_file  # noqa: E402
from transformers import Trainer  # noqa: E402

from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.dpo import main  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "steps": 4,
    "rank": 2,
    "alpha": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "evaluate_every": 2,
    "held_out": 0.34,
    "draws_per_pair": 4,
    "max_excess": 100.0,
    "split_arms": True,
}


@pytest.fixture
def make_run(tmp_path, model_folder, export_folder):
    def make(name, **config):
        run = RunDir(tmp_path / name)
        run.create(
            {
                "stage": "dpo",
                "model": {"base": str(model_folder), "adapters": []},
                "export": str(export_folder),
                "config": {**CONFIG, **config},
            }
        )
        return run

    return make


def start_two(run):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*launcher, "-m", "rlhf.dpo", str(run.path)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def test_two_processes_train_what_one_trains_on_the_doubled_batch(make_run):
    one, two = make_run("one", batch_size=2), make_run("two", batch_size=1)
    main(one, False)
    ended = start_two(two)
    assert ended.returncode == 0, ended.stderr[-2000:]
    expected, found = one.read_metrics(), two.read_metrics()
    assert [line["step"] for line in found] == [1, 2, 3, 4]
    for name in ("loss", "grad_norm", "rewards/margins", "drift/chosen", "held_out/loss", "drift/empty"):
        values = [[line[name] for line in lines if name in line] for lines in (found, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-3, abs=1e-4), name
        assert values[1]
    adapters = [load_file(run.path / "adapter" / "pytorch_lora_weights.safetensors") for run in (one, two)]
    for name, value in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], value, rtol=1e-3, atol=1e-5)


def test_fsdp_is_refused_in_one_line(make_trainer, monkeypatch):
    """Its shards of an adapter would be no adapter. Accelerate has it on GPUs only: it is told so."""
    create = Trainer.create_accelerator_and_postprocess

    def create_sharding(trainer):
        create(trainer)
        trainer.is_fsdp_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", create_sharding)
    with pytest.raises(RunError, match="launch data parallel, without --use_fsdp"):
        make_trainer()
