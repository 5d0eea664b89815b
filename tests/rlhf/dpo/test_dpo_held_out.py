"""A whole run with its bank, its moving average and people who are held out."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from safetensors.torch import load_file  # noqa: E402

from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.dpo.held_out import HeldOut  # noqa: E402
from rlhf.dpo.run import main  # noqa: E402

CONFIG = {
    "steps": 8,
    "batch_size": 2,
    "rank": 2,
    "alpha": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "save_every": 2,
    "evaluate_every": 2,
    "held_out": 0.34,
    "draws_per_pair": 4,  # two pairs remain, so the bank is known after four steps
    "max_excess": 100.0,
}


@pytest.fixture
def make_run(tmp_path, model_folder, export_folder):
    def make(name, cache=None, export=export_folder, **config):
        run = RunDir(tmp_path / name)
        request = {
            "stage": "dpo",
            "model": {"base": str(model_folder), "adapters": []},
            "export": str(export),
            "config": {**CONFIG, **config},
        }
        run.create({**request, "cache": str(cache)} if cache else request)
        return run

    return make


def killed_at(step, run, monkeypatch):
    append = RunDir.append_metrics

    def die(self, line):
        if line["step"] > step:
            raise KeyboardInterrupt
        append(self, line)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDir, "append_metrics", die)
        main(run, False)


def timeless(run):
    measured = ("seconds", "memory_bytes")
    return [{k: v for k, v in line.items() if k not in measured} for line in run.read_metrics()]


@pytest.mark.parametrize("step", [1, 5])
def test_a_killed_run_goes_on_to_the_same_bits(make_run, monkeypatch, step):
    """Every figure of every step, also those on held-out people, and the adapter."""
    whole, parts = make_run("whole"), make_run("parts")
    main(whole, False)
    killed_at(step, parts, monkeypatch)
    main(parts, False)
    assert parts.read_result() == whole.read_result()
    assert timeless(parts) == timeless(whole)
    looks = [line["step"] for line in whole.read_metrics() if "held_out/loss" in line]
    assert looks == [2, 4, 6, 8]
    result = whole.read_result()
    assert (result["num_identities"], result["num_held_out_identities"]) == (2, 1)
    assert result["early_end"] is None and result["result_step"] == 8
    assert result["held_out"]["drift/empty"] > 0
    assert {"held_out/excess/chosen", "held_out/rewards/margins/quartile_4"} < set(result["held_out"])


@pytest.fixture
def plant(monkeypatch):
    """The figures of each look: excess and loss, in order; the model's own are left out."""

    def plant(looks):
        rest = iter(looks)

        def figures(self, policy, device):
            excess, loss = next(rest)
            return {"held_out/excess/chosen": excess, "held_out/loss": loss}

        monkeypatch.setattr(HeldOut, "figures", figures)

    return plant


def test_a_run_that_gets_worse_goes_back_to_its_best_look(make_run, plant):
    """Looks 1 and 2 are within the limit, 2 is better; 3 to 5 are beyond it, though their loss is lower."""
    looks = [(0.001, 0.69), (0.004, 0.66), (0.006, 0.5), (0.007, 0.4), (0.008, 0.3), (0.0, 0.1)]
    options = {"evaluate_every": 1, "max_excess": 0.005}
    plant(looks)
    run = make_run("run", **options)
    main(run, False)
    result = run.read_result()
    assert (result["steps"], result["result_step"]) == (5, 2)
    assert "0.60%, 0.70%, 0.80%" in result["early_end"]
    assert result["held_out"] == {"held_out/excess/chosen": 0.004, "held_out/loss": 0.66}
    plant(looks)
    short = make_run("short", **{**options, "steps": 2})
    main(short, False)
    assert result["adapter_sha256"] == short.read_result()["adapter_sha256"]
    assert load_file(run.path / "adapter/pytorch_lora_weights.safetensors")


def test_a_run_killed_on_its_way_back_knows_its_best_look(make_run, plant, monkeypatch):
    looks = [(0.001, 0.69), (0.006, 0.5), (0.007, 0.4), (0.008, 0.3)]
    options = {"evaluate_every": 1, "max_excess": 0.005}
    plant(looks)
    whole = make_run("whole", **options)
    main(whole, False)
    assert whole.read_result()["result_step"] == 1
    plant(looks)
    parts = make_run("parts", **options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rlhf.dpo.run.save_adapter", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        main(parts, False)
    main(parts, False)
    assert parts.read_result() == whole.read_result()


def test_runs_with_one_cache_encode_and_ask_once(make_run, tmp_path, monkeypatch):
    """The second run, with another beta, reads latents and reference errors that the first left there."""
    cache = tmp_path / "cache"
    main(make_run("first", cache), False)
    banks = {path: path.read_bytes() for path in (cache / "bank").iterdir()}
    assert len(banks) == 2  # of trained and of held-out pairs
    monkeypatch.setattr("rlhf.dpo.latents.encode_pair", lambda *args: pytest.fail("encoded again"))
    second = make_run("second", cache, beta=50.0)
    main(second, False)
    assert {path: path.read_bytes() for path in (cache / "bank").iterdir()} == banks
    assert not (second.path / "cache").exists()


def test_a_run_refuses_a_bank_that_was_tampered_with(make_run, tmp_path):
    import numpy as np

    cache = tmp_path / "cache"
    main(make_run("first", cache), False)
    for path in (cache / "bank").iterdir():
        np.save(path, np.load(path) * np.float32(1.001))
    with pytest.raises(RunError, match=r"entry \d+ is .* but the frozen policy answers .* delete the file"):
        main(make_run("second", cache, learning_rate=1e-3), False)


def test_it_trains_on_sets_of_one_track_and_on_conflicting_ones(make_run, export_folder, tmp_path):
    """Identity alone prefers, or the other track says the opposite or nothing: the set decides, not we."""
    from dataclasses import replace

    from rlhf.export.freezing import read_export, write_export
    from rlhf.export.row import TrackVotes
    from rlhf.records import Track, Verdict
    from rlhf.votes.consensus import resolve_track

    said = (Verdict.TIE, Verdict.SECOND, Verdict.UNSURE)
    rows = [
        replace(
            row,
            tracks={
                Track.IDENTITY: TrackVotes.from_consensus(resolve_track([Verdict.FIRST], 1)),
                Track.CONTROLLABILITY: TrackVotes.from_consensus(resolve_track([verdict], 1)),
            },
        )
        for row, verdict in zip(read_export(export_folder).rows(), said, strict=True)
    ]
    write_export(tmp_path / "identity", rows, joint_states={"tied": 1, "conflicting": 1, "undecided": 1})
    options = {"pair_weighting": "posterior", "steps": 1, "held_out": 0.0}
    run = make_run("run", export=tmp_path / "identity", **options)
    main(run, False)
    assert run.read_result()["num_pairs"] == 3
