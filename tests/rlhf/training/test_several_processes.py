"""Two real processes on the CPU, which meet over gloo and share weights.

That they train what one trains on the doubled batch is tested where the site starts them by the launcher.
"""

import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from transformers import Trainer  # noqa: E402

from generator.adapter_files import ADAPTER_FILE  # noqa: E402
from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.dpo.run import main  # noqa: E402
from rlhf.sft import run as sft  # noqa: E402
from tests.rlhf.forked import together  # noqa: E402
from tests.rlhf.sft_runs import create, write_dataset  # noqa: E402

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
    "split_branches": True,
    "bf16": False,
}
#: Of the machine or of the clock.
OTHER = {"seconds", "memory_bytes"}


def write_request(run, model, export, **config):
    model = {"base": str(model), "adapters": []}
    run.create({"stage": "dpo", "model": model, "export": str(export), "config": {**CONFIG, **config}})


@pytest.fixture
def make_run(tmp_path, model_folder, export_folder):
    def make(name, **config):
        run = RunDir(tmp_path / name)
        write_request(run, model_folder, export_folder, **config)
        return run

    return make


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory, model_folder, export_folder):
    """Two processes with whole weights, and two that share them out; three clips cannot be halved."""
    folder = tmp_path_factory.mktemp("shared_out")
    options = {
        "batch_size": 2,
        "time_strata": 3,
        "draws_per_pair": 3,
        "save_every": 2,
        "split_branches": False,
    }
    options |= {"sample_every": 4, "sample_count": 3, "sample_steps": 2}
    runs = [RunDir(folder / name) for name in ("whole", "sharded")]
    for run in runs:
        write_request(run, model_folder, export_folder, **options, sharded=run.path.name == "sharded")
        together(2, lambda _, run=run: main(run, False))
    return runs


@pytest.mark.slow
def test_shared_weights_train_what_whole_ones_do(shared_out):
    """To the bit: metrics, adapter, and clips of three people."""
    whole, sharded = (
        [{n: v for n, v in line.items() if n not in OTHER} for line in run.read_metrics()]
        for run in shared_out
    )
    assert sharded == whole and "held_out/loss" in whole[-1]
    for pattern, number in (("adapter/*.safetensors", 2), ("samples/step-*/*.mp4", 6)):
        made = [
            {path.relative_to(run.path): path.read_bytes() for path in run.path.glob(pattern)}
            for run in shared_out
        ]
        assert made[0] == made[1] and len(made[0]) == number


def test_a_run_with_shared_weights_resumes_to_the_same_bits(shared_out, tmp_path):
    """Killed after a checkpoint, with one clip to make: who has none to make passes in step all the same."""
    whole, run = shared_out[1].path, RunDir(tmp_path / "run")
    shutil.copytree(whole, run.path)
    (run.path / "result.json").unlink()
    for name in ("adapter", "checkpoints/checkpoint-4"):
        shutil.rmtree(run.path / name)
    next((run.path / "samples" / "step-4").iterdir()).unlink()
    together(2, lambda _: main(run, False))
    for pattern in ("adapter/*.safetensors", "samples/step-4/*.mp4"):
        made = [
            {path.name: path.read_bytes() for path in folder.glob(pattern)} for folder in (whole, run.path)
        ]
        assert made[0] == made[1]


def test_supervised_runs_share_weights_to_the_same_bits(tmp_path, model_folder):
    """Looks with unequally many references make their passes unequal."""
    (tmp_path / "data").mkdir()
    dataset, adapters = write_dataset(tmp_path / "data"), []
    for name in ("whole", "sharded"):
        run = RunDir(tmp_path / name)
        create(run, model_folder, dataset, sample_every=0, bf16=None, sharded=name == "sharded")
        together(2, lambda _, run=run: sft.main(run, False))
        adapters.append((run.path / "adapter" / ADAPTER_FILE).read_bytes())
    assert adapters[0] == adapters[1]


def test_one_process_shares_with_nobody(make_run):
    with pytest.raises(RunError, match="the number of processes is 1; start several"):
        main(make_run("alone", sharded=True), False)


def test_fsdp_of_the_launcher_is_refused_in_one_line(make_trainer, monkeypatch):
    """Its shards of an adapter would be no adapter. Accelerate has it on GPUs only: it is told so."""

    create = Trainer.create_accelerator_and_postprocess

    def create_sharding(trainer):
        create(trainer)
        trainer.is_fsdp_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", create_sharding)
    with pytest.raises(RunError, match="launch without it, and set sharded"):
        make_trainer()
