import hashlib
import json
import math
import os
import signal

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from safetensors.torch import load_file, save_file  # noqa: E402

from generator.adapter_files import ADAPTER_FILE, COMFYUI_FILE  # noqa: E402
from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.rundir import RunDir, RunError, run_command  # noqa: E402
from rlhf.dpo.latents import cache_pairs  # noqa: E402
from rlhf.dpo.run import add_comfyui, main  # noqa: E402
from rlhf.export.freezing import read_export  # noqa: E402
from rlhf.training.sigterm import STOPPED  # noqa: E402

CONFIG = {
    "steps": 4,
    "batch_size": 2,
    "rank": 2,
    "alpha": 6,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "save_every": 2,
}


@pytest.fixture
def make_run(tmp_path, model_folder, export_folder):
    def make(name="run", adapters=(), export=export_folder, **config):
        run = RunDir(tmp_path / name)
        request = {
            "stage": "dpo",
            "model": {
                "base": os.path.relpath(model_folder, run.path),
                "adapters": [str(a) for a in adapters],
            },
            "export": os.path.relpath(export, run.path),
            "config": {**CONFIG, **config},
        }
        run.create(request)
        return run

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_folder, export_folder):
    """One undisturbed run, shared by the tests that compare with it."""
    run = RunDir(tmp_path_factory.mktemp("whole") / "run")
    run.create(
        {
            "stage": "dpo",
            "model": {"base": str(model_folder), "adapters": []},
            "export": str(export_folder),
            "config": CONFIG,
        }
    )
    main(run, False)
    return run


def losses(run):
    return [line["loss"] for line in run.read_metrics()]


def test_it_ends_with_the_figures_of_the_contract(whole):
    result, metrics = whole.read_result(), whole.read_metrics()
    assert result["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert (result["steps"], result["num_pairs"]) == (4, 3)
    assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"} < set(
        metrics[0]
    )
    adapter = (whole.path / result["adapter"] / "pytorch_lora_weights.safetensors").read_bytes()
    assert result["adapter_sha256"] == hashlib.sha256(adapter).hexdigest()


def test_its_adapter_has_a_form_for_comfyui(whole):
    ours = load_file(whole.path / "adapter" / ADAPTER_FILE)
    theirs = load_file(whole.path / "adapter" / COMFYUI_FILE)
    assert all(name.startswith("diffusion_model.blocks.") for name in theirs)
    assert sum(name.endswith(".lora_A.weight") for name in theirs) == len(ours) // 2


def test_an_adapter_without_a_form_for_comfyui_ends_no_training(tmp_path, caplog):
    halves = {"A": torch.zeros(2, 8), "B": torch.zeros(8, 2)}
    layer = "transformer.rope.odd"
    header = {"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 2})}
    weights = {f"{layer}.lora_{half}.weight": one for half, one in halves.items()}
    save_file(weights, tmp_path / ADAPTER_FILE, header)
    add_comfyui(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ADAPTER_FILE]
    assert "'rope.odd' has no name in ComfyUI's form" in caplog.text


def test_its_adapter_loads_with_its_scale(whole, model_folder, export_folder, tmp_path):
    """Alpha is three times the rank; a loader that ignores the metadata would scale by 1 instead of 3."""
    plain, tuned = load_pipeline(model_folder), load_pipeline(model_folder, [whole.path / "adapter"])
    pair = cache_pairs(plain, read_export(export_folder).rows(), tmp_path)[0]
    inputs = (pair["clean"][:1], torch.tensor([500.0]), pair["prompt_embeds"][None], pair["references"][None])
    with torch.no_grad():
        difference = tuned.transformer(*inputs)[0] - plain.transformer(*inputs)[0]
    assert difference.abs().max() > 1e-4
    name = "blocks.0.attn1.to_q"
    layer, before = tuned.transformer.get_submodule(name), plain.transformer.get_submodule(name)
    assert torch.equal(layer.base_layer.weight, before.weight)
    a, b = layer.lora_A["adapter_0"].weight, layer.lora_B["adapter_0"].weight
    torch.testing.assert_close(layer.get_delta_weight("adapter_0"), 3 * b @ a)


def test_a_finished_run_is_left_alone(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("*") if path.name != "lock"}
    main(whole, False)
    assert {path: path.stat().st_mtime_ns for path in whole.path.rglob("*") if path.name != "lock"} == before


@pytest.mark.parametrize(
    ("asked", "slowdown", "takes"), [(None, 0.3, True), (None, 17.0, False), (True, 17.0, True)]
)
def test_its_log_and_result_say_in_which_numbers_it_computed(
    make_run, monkeypatch, capsys, asked, slowdown, takes
):
    """Left to the device, it takes what that is fast at."""
    monkeypatch.setattr("generator.model.precision.bfloat16_slowdown", lambda: slowdown)
    run = make_run(bf16=asked, steps=1)
    main(run, False)
    took = run.read_result()["precision"]
    assert (took["bf16"], took["suits_bf16"], took["slowdown"]) == (takes, slowdown < 1, slowdown)
    said = f"run computes in {took['name']} on cpu, where bfloat16 takes {slowdown:.1f} times as long"
    assert said in capsys.readouterr().out


def test_it_goes_on_elsewhere_in_the_numbers_in_which_it_began(make_run, monkeypatch):
    monkeypatch.setattr("generator.model.precision.bfloat16_slowdown", lambda: 0.3)
    run = make_run(bf16=None, steps=1)
    main(run, False)
    (run.path / "result.json").unlink()
    monkeypatch.setattr("generator.model.precision.bfloat16_slowdown", lambda: 17.0)
    main(run, False)
    assert run.read_result()["precision"]["bf16"]


@pytest.mark.parametrize("killed_at", [1, 3])
def test_a_killed_run_goes_on_to_the_same_bits(make_run, whole, monkeypatch, killed_at):
    """Killed before the first checkpoint, and after it: the last complete one is taken up, or the start."""
    run = make_run()
    append = RunDir.append_metrics

    def die(self, line):
        if line["step"] > killed_at:
            raise KeyboardInterrupt
        append(self, line)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDir, "append_metrics", die)
        main(run, False)
    assert not run.is_done
    main(run, False)
    assert run.read_result()["adapter_sha256"] == whole.read_result()["adapter_sha256"]
    assert losses(run) == losses(whole)


def test_a_run_killed_after_its_last_step_only_writes_its_result(make_run, whole, monkeypatch):
    run = make_run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rlhf.dpo.run.save_adapter", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        main(run, False)
    main(run, False)
    assert run.read_result() == whole.read_result()


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
    assert not run.is_done
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["checkpoint-2"]
    main(run, False)
    assert run.read_result()["adapter_sha256"] == whole.read_result()["adapter_sha256"]


def test_a_second_round_trains_on_the_first_ones_adapter(make_run, whole, model_folder):
    first = whole.path / "adapter"
    before = (first / "pytorch_lora_weights.safetensors").read_bytes()
    run = make_run(adapters=[first])
    main(run, False)
    assert run.read_result()["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert (first / "pytorch_lora_weights.safetensors").read_bytes() == before
    chained = load_pipeline(model_folder, [first, run.path / "adapter"])
    layer = chained.transformer.get_submodule("blocks.0.attn1.to_q")
    assert layer.active_adapters == ["adapter_0", "adapter_1"]


def test_it_encodes_each_pair_once(make_run, monkeypatch):
    run = make_run()
    main(run, False)
    assert len(list((run.path / "cache").glob("*.safetensors"))) == 3
    (run.path / "result.json").unlink()
    monkeypatch.setattr("rlhf.dpo.latents.encode_pair", lambda *args: pytest.fail("encoded again"))
    main(run, False)


def test_it_refuses_an_export_that_has_changed(make_run, export_folder, tmp_path):
    import shutil

    changed = tmp_path / "changed"
    shutil.copytree(export_folder, changed)
    next((changed / "media").iterdir()).write_bytes(b"another video")
    with pytest.raises(RunError, match="export the set again"):
        main(make_run(export=changed), False)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("export", "nowhere", "is no exported set"),
        ("config", {"beta": -1}, "beta is -1"),
        ("model", {"base": "/nowhere", "adapters": []}, "nowhere"),
        ("export", None, "has no 'export'"),
    ],
)
def test_it_fails_with_one_clear_line(tmp_path, model_folder, export_folder, capsys, field, value, message):
    request = {
        "stage": "dpo",
        "model": {"base": str(model_folder), "adapters": []},
        "export": str(export_folder),
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


def test_its_metrics_are_json_a_browser_can_read(whole):
    for line in (whole.path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
