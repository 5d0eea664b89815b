"""Trainings refuse rows whose prompts the model would not read whole, by name, before anything is encoded."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.dpo import run as dpo  # noqa: E402
from rlhf.export.freezing import read_export, write_export  # noqa: E402
from rlhf.sft import run as sft  # noqa: E402
from tests.rlhf.sft_runs import create, write_dataset  # noqa: E402

LONG = "The background changes to a beach. " * 20


def test_sft_names_the_instances_and_encodes_nothing(model_folder, tmp_path):
    dataset = write_dataset(tmp_path)
    lines = [json.loads(line) for line in (dataset / "instances.jsonl").read_text().splitlines()]
    lines[0]["prompt"], lines[2]["prompt"] = LONG, "a 帽子"
    (dataset / "instances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = create(RunDir(tmp_path / "run"), model_folder, dataset)
    with pytest.raises(RunError) as refused:
        sft.main(run, False)
    said = str(refused.value)
    assert said.startswith("2 prompts would not be read whole: instance i0: the prompt has ")
    assert "; instance i2: the model does not know" in said and "i1" not in said and "\n" not in said
    assert not (run.path / "cache").exists()


def test_dpo_names_the_pairs(model_folder, export_folder, tmp_path):
    first, second, third = read_export(export_folder).rows()
    rows = [first, replace(second, differential_prompt=LONG), third]
    write_export(tmp_path / "export", rows, joint_states={"dominant": 3})
    run = RunDir(tmp_path / "run")
    run.create(
        {
            "stage": "dpo",
            "model": {"base": str(model_folder), "adapters": []},
            "export": str(tmp_path / "export"),
            "config": {"steps": 1},
        }
    )
    with pytest.raises(RunError, match=f"1 prompt .*: pair {second.pair_id}: .*; export the round again"):
        dpo.main(run, False)
    assert not (run.path / "cache").exists()
