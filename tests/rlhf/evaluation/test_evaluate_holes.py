"""What an evaluation cannot measure is a hole with its reason, and touches nothing else."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.rlhf.evaluation.painted_systems import STATES, clip, edited, evaluated  # noqa: E402


def test_what_could_not_be_made_is_a_hole_and_no_zero(make_run, painted):
    run = make_run()
    instances = run.read_request()["instances"]
    instances[1]["references"] = [{"path": "../missing.mp4", "kind": "clip"}]
    result = evaluated(edited(run, instances=instances))
    missing = {(system, f"1-{seed}") for system in ("baseline", "candidate") for seed in (1, 2)}
    assert {(item["system"], item["sample_id"]) for item in result["failed"]} == missing
    assert (result["identity"]["n"], result["identity"]["num_identities"]) == (6, 2)
    cell = result["table"]["baseline"]["identity"]
    assert (cell["n"], cell["holes"]) == (6, 2)
    assert {hole["instance_id"] for hole in result["holes"]} == {"1"}
    assert all("missing.mp4" in hole["why"] for hole in result["holes"])


def test_a_reference_that_does_not_decode_is_named(make_run, painted, tmp_path):
    """It is only in the ID-group: the video is made, and only what needs the reference says nothing."""
    run = make_run()
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    instances = run.read_request()["instances"]
    instances[0]["id_group"] = [{"path": "../broken.mp4", "kind": "clip"}]
    result = evaluated(edited(run, instances=instances))
    assert result["failed"] == []
    assert result["identity"]["n"] == 6
    holes = [hole for hole in result["holes"] if hole["column"] == "holi_oracle"]
    assert len(holes) == 4 and all("broken.mp4 cannot be read" in hole["why"] for hole in holes)


def test_pairs_are_formed_on_what_both_systems_have(make_run, painted, tmp_path):
    """Another model's folder: one video missing, one unreadable, one too short, a name without a seed."""
    theirs = tmp_path / "theirs"
    for name in ("0", "1-7", "2-7"):
        clip(theirs / f"{name}.mp4", 50)
    clip(theirs / "3-7.mp4", 50, frames=3)
    (theirs / "4-7.mp4").write_bytes(b"no clip")
    run = make_run(6, (7,), {"baseline": {"videos": "../theirs"}, "candidate": 200})
    result = evaluated(run)
    assert {name for name, *_ in painted} == {f"{n}-7" for n in range(6)}, "nothing was sampled for them"
    assert result["identity"]["n"] == result["differences"]["baseline"]["identity"]["n"] == 3
    assert (result["table"]["candidate"]["identity"]["n"], result["table"]["baseline"]["identity"]["n"]) == (
        6,
        3,
    )
    why = {hole["instance_id"]: hole["why"] for hole in result["holes"] if hole["column"] == "identity"}
    assert why["3"] == "3-7.mp4 has 3 frames; 5 are expected"
    assert "4-7.mp4 cannot be read" in why["4"]
    assert why["5"] == "there is no 5-7.mp4"


def test_a_metric_without_weights_leaves_holes(make_run, painted, monkeypatch):
    def refuse(options):
        raise ValueError("no folder of models is set; set one")

    monkeypatch.setattr("rlhf.evaluation.metrics.oracle.make", refuse)
    result = evaluated(make_run())
    assert "oracle" not in result and "identity" not in result
    cell = result["table"]["candidate"]["holi_oracle"]
    assert (cell["mean"], cell["n"], cell["holes"]) == (None, 0, 8)
    assert result["holes"][0]["why"] == "oracle cannot be used: no folder of models is set; set one"


def test_states_that_the_oracle_does_not_know_are_holes(make_run, painted):
    run = make_run()
    instances = run.read_request()["instances"]
    instances[0]["expected"] = {**STATES, "clothing": "a toga"}
    result = evaluated(edited(run, instances=instances))
    assert {(h["instance_id"], h["column"]) for h in result["holes"]} == {
        ("0", "ele_oracle"),
        *(("0", f"controllability{unit}") for unit in ("", "_nats")),
        *(("0", f"fault_{name}") for name in ("claim", "frozen")),
    }
    assert result["identity"]["n"] == 8 and result["controllability"]["n"] == 6
