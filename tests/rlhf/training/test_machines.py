"""One training on two machines, each with a copy of the run folder: what it learns, and which one writes."""

import json
import os
import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from generator.adapter_files import ADAPTER_FILE  # noqa: E402
from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.dpo.run import main  # noqa: E402
from rlhf.training import processes  # noqa: E402
from tests.rlhf.forked import together  # noqa: E402

CONFIG = {
    "steps": 4,
    "batch_size": 1,
    "devices": 2,
    "rank": 2,
    "alpha": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "evaluate_every": 2,
    "save_every": 2,
    "held_out": 0.34,
    "draws_per_pair": 4,
    "max_excess": 100.0,
    "sample_every": 4,
    "sample_count": 2,
    "sample_steps": 2,
}


@pytest.fixture
def make_machine(tmp_path, model_folder, export_folder):
    """The storage of a machine: model, export and the run folder, all its own."""

    def make(name):
        root = tmp_path / name
        shutil.copytree(model_folder, root / "model")
        shutil.copytree(export_folder, root / "export")
        run = RunDir(root / "run")
        model = {"base": "../model", "adapters": []}
        run.create({"stage": "dpo", "model": model, "export": "../export", "config": CONFIG})
        return run

    return make


def made(run, pattern):
    return {path.relative_to(run.path): path.read_bytes() for path in run.path.glob(pattern)}


def metrics(run):
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "memory_bytes")}
        for line in run.read_metrics()
    ]


@pytest.mark.slow
def test_two_machines_train_what_one_does_and_the_first_has_it(make_machine):
    alone, first, second = (make_machine(name) for name in ("alone", "first", "second"))
    together(2, lambda _: main(alone, False))
    together(2, lambda rank: main((first, second)[rank], False), machines=2)
    assert metrics(first) == metrics(alone) and len(metrics(first)) == 4
    for pattern, number in ((f"adapter/{ADAPTER_FILE}", 1), ("samples/step-*/*.mp4", 4)):
        assert made(first, pattern) == made(alone, pattern) and len(made(first, pattern)) == number
    assert not second.is_done and not made(second, "metrics.jsonl") and not made(second, "adapter/*")

    # The first one was killed after step 2; the second is another machine, which knows nothing of it.
    (first.path / "result.json").unlink()
    for name in ("adapter", "checkpoints/checkpoint-4", "samples/step-4"):
        shutil.rmtree(first.path / name)
    third = make_machine("third")
    together(2, lambda rank: main((first, third)[rank], False), machines=2)
    assert metrics(first) == metrics(alone)
    assert made(first, f"adapter/{ADAPTER_FILE}") == made(alone, f"adapter/{ADAPTER_FILE}")
    assert made(third, "checkpoints/checkpoint-2/complete")


def test_files_of_the_first_machine_reach_the_others_in_parts(tmp_path):
    def work(rank):
        processes.CHUNK_BYTES = 7
        folder = tmp_path / str(rank)
        folder.mkdir()
        if rank == 0:
            (folder / "large").write_bytes(bytes(range(100)))
        (folder / "same").write_bytes(b"same")
        (folder / "other").write_bytes(b"%d" % rank)
        processes.hand_out(folder, ["large", "same", "other"])
        facts = [processes.machines(), processes.is_first_here(), processes.share_here().start]
        (folder / "facts.json").write_text(json.dumps(facts))
        with pytest.raises(RunError, match="data: process 1 has others") if rank else open(os.devnull):
            processes.expect_alike("data", rank)

    together(2, work, machines=2)
    for rank in ("0", "1"):
        assert (tmp_path / rank / "large").read_bytes() == bytes(range(100))
        assert (tmp_path / rank / "other").read_bytes() == b"0"
        assert json.loads((tmp_path / rank / "facts.json").read_text()) == [2, True, 0]


def test_processes_of_one_machine_share_what_it_does(tmp_path):
    def work(rank):
        facts = [processes.machines(), processes.is_first_here(), processes.share_here().start]
        (tmp_path / f"{rank}.json").write_text(json.dumps(facts))

    together(4, work, machines=2)
    facts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(4)]
    assert facts == [[2, True, 0], [2, False, 1], [2, True, 0], [2, False, 1]]
