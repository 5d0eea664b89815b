import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.portraits.oracle import Reading  # noqa: E402
from generator.portraits.world import ELEMENT_STATES  # noqa: E402
from generator.rundir import RunDir, RunError, run_command  # noqa: E402
from generator.video import read_clip, write_clip  # noqa: E402
from rlhf.evaluate import main  # noqa: E402

STATES = {element: states[0] for element, states in ELEMENT_STATES.items()}
SETTINGS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "fps": 8,
    "num_inference_steps": 1,
    "guidance_scale": 1.0,
}


class PlantedOracle:
    """A clip's brightness is who it shows, and how surely it shows what is expected."""

    trust = {"clean": {"identity_top1_of_50": 1.0}}

    def read(self, frames):
        brightness = float(frames.mean()) / 255
        elements = {e: dict.fromkeys(states, brightness) for e, states in ELEMENT_STATES.items()}
        return Reading(np.full(4, brightness), elements)


class Painter:
    """Stands for a model: paints clips of one brightness, told apart by instance only."""

    def __init__(self, brightness):
        self.brightness = brightness


@pytest.fixture
def painters(monkeypatch):
    """Models by name; the calls that each painted video took are counted."""
    painted = []

    def load(run, model):
        return Painter(model["base"])

    def paint(pipeline, references, group, settings):
        painted.extend(sample.sample_id for sample in group)
        return np.stack([np.full((5, 32, 32, 3), pipeline.brightness, np.uint8) for _ in group])

    monkeypatch.setattr("rlhf.evaluate.load_model", load)
    monkeypatch.setattr("generator.sample.sample_batch", paint)
    monkeypatch.setattr("rlhf.evaluate.Oracle.load", PlantedOracle)
    return painted


@pytest.fixture
def make_run(tmp_path):
    def make(num_instances=4, seeds=(1, 2), baseline=100, candidate=200, **overrides):
        write_clip(tmp_path / "reference.mp4", np.full((5, 32, 32, 3), 255, np.uint8), 8)
        reference = {"path": "../reference.mp4", "kind": "clip"}
        run = RunDir(tmp_path / "run")
        request = {
            "stage": "evaluate",
            "baseline": {"base": baseline, "adapters": []},
            "candidate": {"base": candidate, "adapters": []},
            "settings": SETTINGS,
            "seeds": list(seeds),
            "instances": [
                {
                    "instance_id": str(number),
                    "prompt": f"The person now has look {number}.",
                    "references": [reference],
                    "id_group": [reference],
                    "expected": STATES,
                }
                for number in range(num_instances)
            ],
            **overrides,
        }
        run.create(request)
        return run

    return make


def test_the_better_model_wins_on_both_tracks(make_run, painters):
    """The reference is white and the candidate paints brighter, so it is nearer and surer everywhere."""
    run = make_run()
    main(run, False)
    result = run.read_result()
    for track in ("identity", "controllability"):
        assert result[track]["win_rate"] == 1.0
        assert result[track]["n"] == 8
        assert result[track]["candidate_mean"] > result[track]["baseline_mean"]
        assert result[track]["low"] <= result[track]["win_rate"] <= result[track]["high"]
    assert result["controllability"]["candidate_mean"] == pytest.approx(200 / 255, abs=0.02)
    assert result["oracle"] == PlantedOracle.trust
    assert len(result["instances"]) == 8
    assert result["failed"] == []
    video = run.path / result["instances"][0]["candidate"]["path"]
    assert read_clip(video).frames.mean() == pytest.approx(200, abs=3)


def test_a_model_against_itself_wins_half(make_run, painters):
    run = make_run(candidate=100)
    main(run, False)
    assert run.read_result()["identity"]["win_rate"] == 0.5


def test_a_resumed_run_makes_only_what_is_missing(make_run, painters):
    run = make_run()
    main(run, False)
    whole = run.read_result()
    (run.path / "result.json").unlink()
    (run.path / "candidate" / "2-1.mp4").unlink()
    painters.clear()
    main(run, False)
    assert set(painters) == {"2-1", "2-2"}  # the two seeds of an instance are one batch
    assert run.read_result() == whole
    assert [line["done"] for line in run.read_metrics()] == list(range(1, 17))


def test_it_names_what_could_not_be_made(make_run, painters):
    run = make_run()
    request = json.loads((run.path / "request.json").read_text())
    request["instances"][1]["references"] = [{"path": "../missing.mp4", "kind": "clip"}]
    (run.path / "request.json").write_text(json.dumps(request))
    main(run, False)
    result = run.read_result()
    assert {(item["model"], item["sample_id"]) for item in result["failed"]} == {
        (model, f"1-{seed}") for model in ("baseline", "candidate") for seed in (1, 2)
    }
    assert result["identity"]["num_instances"] == 3
    assert "1" not in {row["instance_id"] for row in result["instances"]}


def test_it_fails_when_there_is_nothing_to_compare(make_run, painters, tmp_path):
    with pytest.raises(RunError, match="nothing to evaluate"):
        main(make_run(num_instances=0), False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"instances": [{"instance_id": "7"}]}, "instance 7 has no 'prompt'"),
        ({"settings": {**SETTINGS, "num_frames": 6}}, "num_frames is 6"),
        ({"settings": {"size": 64}}, "no request to evaluate"),
    ],
)
def test_it_fails_with_one_clear_line(make_run, painters, capsys, overrides, message):
    assert run_command(main, [str(make_run(**overrides).path)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
