"""What an evaluation may be asked for: instances or a set, and one clear line for anything else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from generator.files import file_sha256  # noqa: E402
from generator.frozen_set import MediaFile  # noqa: E402
from generator.records import ReferenceKind  # noqa: E402
from generator.rundir import RunError, run_command  # noqa: E402
from rlhf.evaluate import main  # noqa: E402
from rlhf.evaluation.benchmark.entry import EntryFacts  # noqa: E402
from rlhf.evaluation.benchmark.set import Card, write_benchmark  # noqa: E402
from rlhf.evaluation.records import EvaluationInstance  # noqa: E402
from tests.rlhf.evaluation.painted_systems import SETTINGS, clip, edited, evaluated  # noqa: E402


def test_a_request_of_an_earlier_version_is_fulfilled(make_run, painted):
    run = make_run(2, (1,))
    request = run.read_request()
    request["arms"] = request.pop("systems")
    (run.path / "request.json").write_text(json.dumps(request))
    assert set(evaluated(run)["systems"]) == {"baseline", "candidate"}


def test_videos_of_another_set_are_refused(make_run, painted, tmp_path):
    clip(tmp_path / "theirs" / "0.mp4", 50)
    facts = EntryFacts("another model", of_set={"name": "other", "sha256": "0" * 64})
    facts.write(tmp_path / "theirs")
    run = make_run(1, (7,), {"baseline": {"videos": "../theirs"}, "candidate": 200})
    with pytest.raises(ValueError, match="are different sets; compare what was made on one set"):
        main(run, False)


def test_a_benchmark_set_gives_instances_and_seeds(make_run, painted, tmp_path):
    run = make_run(2, (1,))
    asked = [EvaluationInstance.from_json(item) for item in run.read_request()["instances"]]
    media = MediaFile(tmp_path / "reference.mp4", file_sha256(tmp_path / "reference.mp4"))
    path = f"media/{media.sha256}.mp4"
    moved = [
        replace(
            instance, references=((path, ReferenceKind.CLIP),), id_group=(path,), instance_id=f"b{number}"
        )
        for number, instance in enumerate(asked)
    ]
    made = write_benchmark(
        tmp_path / "set",
        Card("ours", "1", "CC0-1.0", "tests", {}),
        moved,
        [4, 5],
        [media],
    )
    request = run.read_request()
    del request["instances"], request["seeds"]
    request["set"] = {"path": "../set", "sha256": made.card.sha256}
    (run.path / "request.json").write_text(json.dumps(request))
    result = evaluated(run)
    assert result["set"] == {
        **{"name": "ours", "sha256": made.card.sha256, "seeds": [4, 5]},
        **{"num_instances": 2, "num_identities": 1},
    }
    assert result["holes"] == [] and {name for name, *_ in painted} == {"b0-4", "b0-5", "b1-4", "b1-5"}


def test_a_set_must_be_the_one_that_is_named(make_run, painted):
    known = evaluated(run := make_run(1, (1,)))["set"]["sha256"]
    (run.path / "result.json").unlink()
    assert evaluated(edited(run, set={"name": "ours", "sha256": known}))["set"]["name"] == "ours"
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match="results on different sets are not compared"):
        main(edited(run, set={"name": "ours", "sha256": "0" * 64}), False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"instances": [{"instance_id": "7"}]}, "instance 7: has no prompt"),
        ({"instances": []}, "0 instances, 2 seeds and 2 systems: there is nothing to evaluate"),
        (
            {"instances": [{"instance_id": "7", "prompt": "", "references": [], "id_group": []}]},
            "instance 7 has no reference; give at least the primary one",
        ),
        ({"settings": {**SETTINGS, "num_frames": 6}}, "num_frames is 6"),
        ({"settings": {"size": 64}}, "has an unknown field 'size'; known are height"),
        ({"seeds": [1, 1]}, "seed 1 is there twice"),
        (
            {"systems": {"baseline": {}, "candidate": {}}},
            "system baseline: it must have either a model or a folder",
        ),
        ({"systems": {"../x": {"videos": "y"}}}, "system '../x' is no folder's name"),
        ({"systems": {"scores": {"videos": "y"}}}, "system 'scores' is no folder's name"),
        ({"compare": ["baseline", "tuned"]}, "compare names system 'tuned'; there are baseline, candidate"),
        ({"reference": "full"}, "reference names system 'full'"),
        ({"ablations": {"baseline": "w/o X"}}, "system baseline is ablation 'w/o X'; the paper has w/o P&D"),
        ({"metrics": ["fid"]}, "there is no metric 'fid'; known: "),
        ({"metric_settings": {"oracle": {"size": 1}}}, None),
    ],
)
def test_it_fails_with_one_clear_line(make_run, painted, capsys, overrides, message):
    status = run_command(main, [str(make_run(**overrides).path)])
    error = capsys.readouterr().err.strip()
    if message is None:
        assert status == 0, "a metric that refuses its settings is a hole, and the rest is measured"
    else:
        assert status == 1 and message in error
    assert "\n" not in error
