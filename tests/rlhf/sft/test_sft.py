import hashlib
import os
import shutil
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.torch import load_file  # noqa: E402

from generator.media.encoder import write_clip  # noqa: E402
from generator.media.video import probe, read_clip  # noqa: E402
from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.rundir import RunDir, RunError, run_command  # noqa: E402
from generator.sample import make_videos  # noqa: E402
from rlhf.sft.config import SFTConfig  # noqa: E402
from rlhf.sft.latents import cache_instances  # noqa: E402
from rlhf.sft.run import check, main, make_trainable  # noqa: E402
from rlhf.training.sigterm import STOPPED  # noqa: E402
from rlhf.training.trainer import last_checkpoint  # noqa: E402
from tests.rlhf.sft_runs import CONFIG, create, write_dataset  # noqa: E402


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def make_run(tmp_path, model_folder, dataset):
    def make(name="run", adapters=(), **config):
        return create(RunDir(tmp_path / name), model_folder, dataset, adapters, **config)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_folder, dataset):
    """One undisturbed run, shared by the tests that compare with it."""
    run = create(RunDir(tmp_path_factory.mktemp("whole") / "run"), model_folder, dataset)
    main(run, False)
    return run


def losses(run):
    return [line["loss"] for line in run.read_metrics()]


def die_at(step):
    """`RunDir.append_metrics` of a process that is killed when it reports a step."""
    append = RunDir.append_metrics

    def die(self, line):
        if line["step"] > step:
            raise KeyboardInterrupt
        append(self, line)

    return die


# --- the run
# --------------------------------------------------------------------------------------------------------


def test_it_ends_with_the_figures_of_the_contract(whole, dataset):
    result, metrics = whole.read_result(), whole.read_metrics()
    assert (result["steps"], result["num_instances"]) == (4, 3)
    assert result["first_loss"] == metrics[0]["loss"]
    assert result["last_loss"] == metrics[-1]["loss"]
    assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    assert {"steps", "loss", "grad_norm", "learning_rate", "seconds"} < set(metrics[0])
    adapter = (whole.path / result["adapter"] / "pytorch_lora_weights.safetensors").read_bytes()
    assert result["adapter_sha256"] == hashlib.sha256(adapter).hexdigest()
    lines = (dataset / "instances.jsonl").read_bytes()
    assert result["dataset_sha256"] == hashlib.sha256(lines).hexdigest()


def test_it_says_at_which_times_the_loss_is(whole):
    """With two draws per step, the parts that were met average to the loss."""
    for line in whole.read_metrics():
        parts = [value for name, value in line.items() if name.startswith("loss/time_")]
        assert 1 <= len(parts) <= 2
        assert np.mean(parts) == pytest.approx(line["loss"], rel=1e-5)


def test_its_result_is_the_moving_average(whole):
    average = load_file(whole.path / "checkpoints" / "checkpoint-4" / "average.safetensors")
    weights = load_file(whole.path / "checkpoints" / "checkpoint-4" / "trained.safetensors")
    adapter = load_file(whole.path / "adapter" / "pytorch_lora_weights.safetensors")
    assert len(adapter) == len(average) > 0
    for name, value in average.items():
        assert torch.equal(adapter[name.replace(".trained.", ".")], value)
    assert any(not torch.equal(weights[name], value) for name, value in average.items())


def test_its_adapter_loads_with_its_scale(whole, model_folder):
    """Alpha is three times the rank; a loader that ignores the metadata would scale by 1 instead of 3."""
    tuned = load_pipeline(model_folder, [whole.path / "adapter"])
    layer = tuned.transformer.get_submodule("blocks.0.attn1.to_q")
    a, b = layer.lora_A["adapter_0"].weight, layer.lora_B["adapter_0"].weight
    assert b.abs().max() > 0
    torch.testing.assert_close(layer.get_delta_weight("adapter_0"), 3 * b @ a)


def test_it_shows_clips_at_intervals(whole):
    """Before the first step, after every third, and at the end; of the first instance alone."""
    folder = whole.path / "samples"
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert made == ["step-0/i0.mp4", "step-3/i0.mp4", "step-4/i0.mp4"]
    facts = probe(folder / "step-4" / "i0.mp4")
    assert (facts.width, facts.height, facts.num_frames) == (32, 32, 9)
    assert facts.sha256 != probe(folder / "step-0" / "i0.mp4").sha256


def test_a_shared_file_is_encoded_once(whole):
    """Two targets, two clips, two photos, a half-body portrait, the empty condition, two prompts."""
    assert whole.read_result()["fps"] == 8
    assert len(list((whole.path / "cache").iterdir())) == 2 + 2 + 2 + 1 + 1 + 2


def test_a_finished_run_is_left_alone(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("*") if path.name != "lock"}
    main(whole, False)
    assert {path: path.stat().st_mtime_ns for path in whole.path.rglob("*") if path.name != "lock"} == before


# --- interrupted
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed_at", [1, 3])
def test_a_killed_run_goes_on_to_the_same_bits(make_run, whole, monkeypatch, killed_at):
    """Killed before the first checkpoint, and after it: the last complete one is taken up, or the start."""
    run = make_run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDir, "append_metrics", die_at(killed_at))
        main(run, False)
    assert not run.is_done
    monkeypatch.setattr("rlhf.sft.latents.encode_reference", lambda *args: pytest.fail("encoded again"))
    monkeypatch.setattr("rlhf.sft.latents.encode_prompt", lambda *args: pytest.fail("encoded again"))
    main(run, False)
    assert run.read_result() == whole.read_result()
    assert losses(run) == losses(whole)


def test_a_run_killed_over_its_clips_makes_those_that_are_missing(make_run, whole, monkeypatch):
    """The checkpoint comes first, so no step is trained twice."""
    run = make_run(save_every=100)
    for step in (3, 4):

        def die(load, samples, settings, folder, step=step):
            if folder.name == f"step-{step}":
                raise KeyboardInterrupt
            return make_videos(load, samples, settings, folder)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("rlhf.training.samples.make_videos", die)
            main(run, False)
        assert last_checkpoint(run.path / "checkpoints").name == f"checkpoint-{step}"
    main(run, False)
    assert run.read_result() == whole.read_result()
    for clip in (whole.path / "samples").rglob("*.mp4"):
        again = run.path / "samples" / clip.relative_to(whole.path / "samples")
        assert again.read_bytes() == clip.read_bytes()


def test_sigterm_ends_it_with_a_checkpoint(make_run, whole, monkeypatch, capsys):
    run = make_run(save_every=100)
    append = RunDir.append_metrics

    def ask(self, line):
        append(self, line)
        if line["step"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(RunDir, "append_metrics", ask)
        main(run, False)
    assert end.value.code == STOPPED
    assert "resumes" in capsys.readouterr().err
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["checkpoint-2"]
    main(run, False)
    assert run.read_result() == whole.read_result()


# --- full training
# --------------------------------------------------------------------------------------------------


def test_full_training_resumes_to_the_same_bits_and_loads_as_a_transformer(make_run, monkeypatch):
    from generator.model.transformer import AnyIDTransformer

    config = {"mode": "full", "sample_every": 0, "learning_rate": 1e-3}
    undisturbed, run = make_run("undisturbed", **config), make_run("killed", **config)
    main(undisturbed, False)
    shutil.copytree(undisturbed.path / "cache", run.path / "cache")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDir, "append_metrics", die_at(3))
        main(run, False)
    main(run, False)
    result = run.read_result()
    assert result == undisturbed.read_result()
    assert result["transformer"] == "transformer"
    loaded = AnyIDTransformer.from_pretrained(run.path / "transformer").state_dict()
    average = load_file(run.path / "checkpoints" / "checkpoint-4" / "average.safetensors")
    assert {f"transformer.{name}" for name in loaded} == set(average)
    assert all(torch.equal(value, average[f"transformer.{name}"]) for name, value in loaded.items())
    assert str(run.path) not in (run.path / "transformer" / "config.json").read_text()


def test_full_training_starts_from_what_the_adapters_made(whole, model_folder):
    adapted = load_pipeline(model_folder, [whole.path / "adapter"])
    generator = torch.Generator().manual_seed(0)
    channels = adapted.transformer.config.in_channels
    target, reference = (torch.randn(1, channels, n, 4, 4, generator=generator) for n in (3, 1))
    prompt = torch.randn(1, 6, adapted.transformer.config.text_dim, generator=generator)

    def predict(transformer):
        with torch.no_grad():
            return transformer(target, torch.tensor([500.0]), prompt, reference, return_dict=False)[0]

    before, plain = predict(adapted.transformer), predict(load_pipeline(model_folder).transformer)
    transformer, _ = make_trainable(adapted, SFTConfig(mode="full"))
    assert (before - plain).abs().max() > 1e-3
    torch.testing.assert_close(predict(transformer), before, atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in transformer.parameters())
    assert not any("lora" in name for name in transformer.state_dict())


# --- the cache
# -------------------------------------------------------------------------------------------------------


def test_cached_latents_are_what_the_sampler_would_be_given(whole, model_folder, dataset):
    task = check(whole, whole.read_request())
    pipeline = load_pipeline(model_folder)
    cached = cache_instances(pipeline, task.instances, whole.path / "cache", stills=2)  # nothing is missing
    frames = read_clip(dataset / "p1" / "clip-1.mp4").frames
    held = load_file(cached[0].references[0])
    assert torch.equal(held["clip"], pipeline.encode_references([frames], 32, 32)[0])
    last = pipeline.encode_references([frames[-1:]], 32, 32)[0]
    assert torch.equal(held["stills"][:, 1:], last)
    target = read_clip(dataset / "p1" / "clip-0.mp4").frames
    assert torch.equal(load_file(cached[0].target)["clean"], pipeline.encode_video(target)[0])


# --- refusals
# -------------------------------------------------------------------------------------------------------


def test_it_draws_times_with_the_samplers_shift(make_run, monkeypatch):
    seen = []

    def trainer(learner, config, *args, **kwargs):
        seen.append(config.time_shift)
        raise KeyboardInterrupt

    monkeypatch.setattr("rlhf.sft.run.SFTTrainer", trainer)
    for name, config in (("default", {}), ("told", {"time_shift": 7.5})):
        with pytest.raises(KeyboardInterrupt):
            main(make_run(name, **config), False)
    assert seen == [3.0, 7.5]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "nowhere", "instances.jsonl"),
        ("config", {"ema_decay": 2}, "ema_decay is 2"),
        ("model", {"base": "/nowhere", "adapters": []}, "nowhere"),
        ("dataset", None, "has no 'dataset'"),
    ],
)
def test_it_fails_with_one_clear_line(tmp_path, model_folder, dataset, capsys, field, value, message):
    request = {
        "stage": "sft",
        "model": {"base": str(model_folder), "adapters": []},
        "dataset": str(dataset),
        "config": CONFIG,
        field: value,
    }
    request = {name: item for name, item in request.items() if item is not None}
    run = RunDir(tmp_path / "run")
    run.create(request)
    assert run_command(main, [str(run.path)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_a_missing_file_stops_it_before_the_model_is_loaded(tmp_path, model_folder, dataset, monkeypatch):
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    (copy / "p2" / "still-0.png").unlink()
    monkeypatch.setattr("rlhf.training.command.load_model", lambda *args: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=r"instances.jsonl:3: reference 'p2/still-0.png' is no file"):
        main(create(RunDir(tmp_path / "run"), model_folder, copy), False)


def test_a_target_that_the_model_cannot_take_is_named(tmp_path, model_folder, dataset):
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    write_clip(copy / "p1" / "clip-0.mp4", np.zeros((9, 40, 32, 3), np.uint8), 8)
    with pytest.raises(RunError, match=r"clip-0.mp4 does not fit the model: height is 40"):
        main(create(RunDir(tmp_path / "run"), model_folder, copy), False)
