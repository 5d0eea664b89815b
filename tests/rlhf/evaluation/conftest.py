"""Runs of an evaluation whose models paint; `painted_systems` has torch, so only such tests import it."""

from __future__ import annotations

import numpy as np
import pytest

from generator.rundir import RunDir


@pytest.fixture
def painted(monkeypatch):
    """What models were asked to paint: name, prompt and number of references of each video."""
    from tests.rlhf.evaluation.painted_systems import Painter, PlantedOracle

    painted = []

    def paint(pipeline, references, group, settings):
        painted.extend((sample.sample_id, sample.prompt, len(references)) for sample in group)
        return np.stack([np.full((5, 32, 32, 3), pipeline.brightness, np.uint8) for _ in group])

    for place in ("videos", "making"):
        monkeypatch.setattr(
            f"rlhf.evaluation.{place}.load_model", lambda run, model: Painter(int(model["base"]))
        )
    monkeypatch.setattr("generator.sample.sample_batch", paint)
    monkeypatch.setattr("rlhf.evaluation.metrics.oracle.Oracle.load", PlantedOracle)
    # One test writes it; the report has tests of its own.
    monkeypatch.setattr("rlhf.evaluate.write_report", lambda folder, result: None)
    return painted


@pytest.fixture
def make_run(tmp_path):
    """A run folder; `systems` are models by brightness where they are numbers."""
    from tests.rlhf.evaluation.painted_systems import SETTINGS, STATES, clip

    def make(num_instances=4, seeds=(1, 2), systems=(("baseline", 100), ("candidate", 200)), **overrides):
        clip(tmp_path / "reference.mp4", 255)
        reference = {"path": "../reference.mp4", "kind": "clip"}
        run = RunDir(tmp_path / "run")
        systems = {
            name: {"model": {"base": str(system), "adapters": []}} if isinstance(system, int) else system
            for name, system in dict(systems).items()
        }
        request = {
            "stage": "evaluate",
            "systems": systems,
            "compare": ["baseline", "candidate"],
            "settings": SETTINGS,
            "seeds": list(seeds),
            "instances": [
                {
                    "instance_id": str(number),
                    "prompt": f"The person now has look {number}.",
                    "standard_prompt": f"A person with look {number}." if number else "",
                    "references": [reference, reference],
                    "id_group": [reference],
                    "expected": STATES,
                    "changed": ["background"],
                    "identity": f"person {number // 2}",
                }
                for number in range(num_instances)
            ],
            **overrides,
        }
        run.create(request)
        return run

    return make
