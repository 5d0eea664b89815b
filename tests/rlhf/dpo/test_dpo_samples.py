"""Clips at intervals show what a DPO run is learning, and change nothing of it."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from generator.files import file_sha256  # noqa: E402
from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.records import SampleRequest  # noqa: E402
from generator.rundir import RunDir  # noqa: E402
from generator.sample import make_videos  # noqa: E402
from rlhf.dpo.config import FlowDPOConfig  # noqa: E402
from rlhf.dpo.held_out import split_by_identity  # noqa: E402
from rlhf.dpo.run import main, to_show  # noqa: E402
from rlhf.export.freezing import read_export  # noqa: E402
from rlhf.training.samples import sampling_pipeline  # noqa: E402

CONFIG = {
    "steps": 4,
    "batch_size": 2,
    "rank": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "save_every": 2,
    "held_out": 0.4,
    "ema_decay": 0.0,
}
SHOWN = {"sample_every": 2, "sample_count": 1, "sample_steps": 2}


@pytest.fixture
def train(tmp_path, model_folder, export_folder):
    def train(name, **config):
        run = RunDir(tmp_path / name)
        model = {"base": str(model_folder), "adapters": []}
        run.create(
            {"stage": "dpo", "model": model, "export": str(export_folder), "config": {**CONFIG, **config}}
        )
        main(run, False)
        return run

    return train


def test_people_who_are_held_out_are_shown_first(export_folder):
    rows = list(read_export(export_folder).rows())
    held = split_by_identity([row.id_group for row in rows], 0.4)
    shown = to_show(rows, FlowDPOConfig(held_out=0.4, sample_every=1, sample_count=2))
    assert shown[0][0].id_group == rows[held.index(True)].id_group
    assert len(shown) == 2 and shown[0][1].num_frames == 5
    assert to_show(rows, FlowDPOConfig(held_out=0.4)) == []


def test_clips_begin_with_the_parents_and_leave_the_training_as_it_was(train, model_folder, tmp_path):
    run, plain = train("shown", **SHOWN), train("plain")
    assert run.read_result()["adapter_sha256"] == plain.read_result()["adapter_sha256"]
    assert not (plain.path / "samples").exists()
    clips = {path.parent.name: path for path in (run.path / "samples").glob("step-*/*.mp4")}
    assert set(clips) == {"step-0", "step-2", "step-4"}
    assert len({path.name for path in clips.values()}) == 1
    assert file_sha256(clips["step-0"]) != file_sha256(clips["step-4"])

    rows = list(read_export(run.resolve(run.read_request()["export"])).rows())
    ((instance, settings),) = to_show(rows, FlowDPOConfig(**{**CONFIG, **SHOWN}))
    parent = load_pipeline(model_folder).transformer
    references = tuple((str(path), kind) for path, kind in instance.references)
    make_videos(
        lambda: sampling_pipeline(run, {"base": str(model_folder)}, parent),
        [SampleRequest(instance.instance_id, 0, instance.prompt, references)],
        replace(settings, num_inference_steps=2),
        tmp_path / "parent",
    )
    assert file_sha256(tmp_path / "parent" / clips["step-0"].name) == file_sha256(clips["step-0"])
