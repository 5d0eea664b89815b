import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from generator.files import file_sha256  # noqa: E402
from generator.frozen_set import MediaFile  # noqa: E402
from generator.media.encoder import write_clip  # noqa: E402
from generator.media.video import read_clip  # noqa: E402
from generator.portraits.oracle import Reading  # noqa: E402
from generator.portraits.world import ELEMENT_STATES, IDENTITY_SIZE  # noqa: E402
from generator.records import ReferenceKind  # noqa: E402
from generator.rundir import RunDir, RunError, run_command  # noqa: E402
from rlhf.evaluate import main  # noqa: E402
from rlhf.evaluation.benchmark.entry import EntryFacts  # noqa: E402
from rlhf.evaluation.benchmark.set import Card, write_benchmark  # noqa: E402
from rlhf.evaluation.metrics.registry import METRICS  # noqa: E402
from rlhf.evaluation.records import EvaluationInstance  # noqa: E402
from rlhf.evaluation.report.page import write_report  # noqa: E402

STATES = {element: states[0] for element, states in ELEMENT_STATES.items()}
SETTINGS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "fps": 8,
    "num_inference_steps": 1,
    "guidance_scale": 1.0,
}
TRACKS = ("identity", "controllability")


class PlantedOracle:
    """A clip's brightness is who it shows, and how surely it shows what is expected."""

    trust = {"clean": {"identity_top1_of_50": 1.0}}

    def read(self, frames):
        brightness = float(frames.mean()) / 255
        elements = {e: dict.fromkeys(states, brightness) for e, states in ELEMENT_STATES.items()}
        return Reading(np.full(IDENTITY_SIZE, brightness), elements)


class Painter:
    """Stands for a model: paints clips of one brightness, told apart by instance only."""

    def __init__(self, brightness):
        self.brightness = brightness

    def prompt_reader(self):
        """It reads every prompt to its end."""
        return SimpleNamespace(read=lambda prompt: SimpleNamespace(problem=""))


def clip(path, brightness, frames=5):
    path.parent.mkdir(exist_ok=True)
    write_clip(path, np.full((frames, 32, 32, 3), brightness, np.uint8), 8)


@pytest.fixture
def painted(monkeypatch):
    """What models were asked to paint: name, prompt and number of references of each video."""
    painted = []

    def paint(pipeline, references, group, settings):
        painted.extend((sample.sample_id, sample.prompt, len(references)) for sample in group)
        return np.stack([np.full((5, 32, 32, 3), pipeline.brightness, np.uint8) for _ in group])

    monkeypatch.setattr("rlhf.evaluation.videos.load_model", lambda run, model: Painter(int(model["base"])))
    monkeypatch.setattr("generator.sample.sample_batch", paint)
    monkeypatch.setattr("rlhf.evaluation.metrics.oracle.Oracle.load", PlantedOracle)
    # One test writes it; the report has tests of its own.
    monkeypatch.setattr("rlhf.evaluate.write_report", lambda folder, result: None)
    return painted


@pytest.fixture
def make_run(tmp_path):
    """A run folder; `systems` are models by brightness where they are numbers."""

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


def evaluated(run):
    main(run, False)
    return run.read_result()


def edited(run, **fields):
    request = run.read_request() | fields
    (run.path / "request.json").write_text(json.dumps(request))
    return run


def test_the_better_model_wins_on_both_tracks(make_run, painted):
    """The reference is white and the candidate paints brighter, so it is nearer and surer everywhere."""
    run = make_run()
    result = evaluated(run)
    for track in TRACKS:
        assert result[track]["win_rate"] == 1.0
        assert (result[track]["n"], result[track]["num_identities"]) == (8, 2)
        assert result[track]["candidate_mean"] > result[track]["baseline_mean"]
    assert result["controllability"]["score"] == "controllability_nats"
    assert result["controllability"]["candidate_mean"] == pytest.approx(7 * math.log(200 / 255), abs=0.2)
    assert result["oracle"] == PlantedOracle.trust
    assert result["set"]["num_identities"] == 2 and len(result["set"]["sha256"]) == 64
    assert result["holes"] == result["failed"] == []
    video = next(video for video in result["videos"] if video["system"] == "candidate")
    assert read_clip(run.path / video["path"]).frames.mean() == pytest.approx(200, abs=3)


def test_a_sheet_shows_each_person_from_the_same_noise(make_run, painted):
    """Two people side by side: the white reference, three dark frames before, three brighter ones after."""
    run = make_run()
    evaluated(run)
    sheet = np.asarray(Image.open(run.path / "sheet.jpg").convert("L")).astype(int)
    person = sheet.shape[1] // 2
    for left in (0, person):
        line = sheet[60, left : left + person]
        assert line[10] > 250
        shown = [value for value, _ in itertools.groupby((line[120:] / 50).round()) if value < 5]
        assert shown == [2] * 3 + [4] * 3


def test_the_table_says_what_the_tracks_say(make_run, painted):
    result = evaluated(make_run())
    columns = [column["name"] for column in result["columns"]]
    assert columns.index("holi_oracle") < columns.index("bg_oracle") < columns.index("identity")
    for track in TRACKS:
        mine = [v["values"] for v in result["videos"] if v["system"] == "candidate"]
        shares, nats = (np.mean([values[name] for values in mine]) for name in (track, f"{track}_nats"))
        assert result["table"]["candidate"][track]["mean"] == pytest.approx(shares, abs=1e-4)
        assert result[track]["candidate_mean"] == pytest.approx(nats, abs=1e-3)
        assert result["differences"]["baseline"][track]["win_rate"] == result[track]["win_rate"]
        assert f"{track}_nats" not in columns, "an open scale stands in no table of shares"
    # Only the background changes, so there is nothing to say of looks and motion, and that is no failure.
    for column in ("app_oracle", "mot_oracle"):
        assert result["table"]["candidate"][column] == {
            **dict.fromkeys(("mean", "low", "high")),
            **{"n": 0, "num_identities": 0, "holes": 0, "not_asked": 8},
        }
    assert result["table"]["candidate"]["bg_oracle"]["n"] == 8


def test_a_report_is_written_beside_the_result(make_run, painted, monkeypatch):
    monkeypatch.setattr("rlhf.evaluate.write_report", write_report)
    run = make_run(2, (1,))
    assert evaluated(run)["set"]["sha256"][:12] in (run.path / "report.html").read_text()


def test_a_model_against_itself_wins_half(make_run, painted):
    assert evaluated(make_run(systems={"baseline": 100, "candidate": 100}))["identity"]["win_rate"] == 0.5


def test_systems_say_how_many_references_and_which_prompt_a_model_sees(make_run, painted):
    model = {"model": {"base": "100", "adapters": []}}
    systems = {
        "full": 100,
        "single": {**model, "references": 1},
        "captioned": {**model, "prompts": "standard"},
    }
    result = evaluated(make_run(2, (1,), systems, compare=None, reference="full"))
    differential = [(f"{n}-1", f"The person now has look {n}.") for n in (0, 1)]
    assert painted == [  # systems come by name
        (*differential[0], 2),  # nobody wrote a caption of this one
        ("1-1", "A person with look 1.", 2),
        *((*one, 2) for one in differential),
        *((*one, 1) for one in differential),
    ]
    assert set(result["differences"]) == {"single", "captioned"}
    assert "identity" not in result, "nothing was compared by name"
    assert result["systems"]["single"]["references"] == 1


def test_a_resumed_run_makes_and_looks_at_only_what_is_missing(make_run, painted, monkeypatch):
    run = make_run()
    whole = evaluated(run)
    (run.path / "result.json").unlink()
    (run.path / "candidate" / "2-1.mp4").unlink()
    painted.clear()
    looked = []
    score = PlantedOracle.read
    monkeypatch.setattr(PlantedOracle, "read", lambda self, frames: looked.append(1) or score(self, frames))
    again = evaluated(run)
    assert {name for name, *_ in painted} == {"2-1", "2-2"}  # the two seeds of an instance are one batch
    assert looked == [], "the video that was made again has the same bytes, so its scores stay"
    assert again | {"seconds": 0} == whole | {"seconds": 0}
    lines = run.read_metrics()
    assert [line["done"] for line in lines] == list(range(1, 33)) and lines[-1]["total"] == 32


@pytest.mark.parametrize("what", ["video", "reference", "facts"])
def test_scores_are_believed_only_while_everything_is_the_same(make_run, painted, monkeypatch, what):
    run = make_run(1, (1,))
    before = evaluated(run)
    (run.path / "result.json").unlink()
    if what == "video":
        clip(run.path / "candidate" / "0-1.mp4", 250)
    elif what == "reference":
        clip(run.path / "../reference.mp4", 100)
    else:
        monkeypatch.setattr("rlhf.evaluation.metrics.oracle.file_sha256", lambda path: "other weights")
        monkeypatch.setattr(PlantedOracle, "read", lambda self, frames: Reading(np.zeros(IDENTITY_SIZE), {}))
    after = evaluated(run)
    assert after["table"]["candidate"] != before["table"]["candidate"]
    assert (after["set"]["sha256"] == before["set"]["sha256"]) == (what != "reference")


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


def test_a_request_of_an_earlier_version_is_fulfilled(make_run, painted):
    run = make_run(2, (1,))
    request = run.read_request()
    request["arms"] = request.pop("systems")
    (run.path / "request.json").write_text(json.dumps(request))
    assert set(evaluated(run)["systems"]) == {"baseline", "candidate"}


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
    place = f"media/{media.sha256}.mp4"
    moved = [
        replace(one, references=((place, ReferenceKind.CLIP),), id_group=(place,), instance_id=f"b{number}")
        for number, one in enumerate(asked)
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


def test_it_states_directions_against_the_paper(make_run, painted):
    systems = {"without_assistants": 100, "full": 200}
    run = make_run(
        systems=systems, compare=None, reference="full", ablations={"without_assistants": "w/o AR"}
    )
    cells = {cell["column"]: cell for cell in evaluated(run)["directions"]}
    assert cells["holi_oracle"]["holds"] == "yes"
    assert (cells["holi_oracle"]["paper_full"], cells["holi_oracle"]["paper_ablated"]) == (73.22, 72.38)
    assert cells["ele_oracle"]["holds"] == "no", "the paper sees no difference there, and this is one"
    assert cells["app_oracle"]["holds"] == "undecided", "no video changes anything of the kind"


def test_a_set_must_be_the_one_that_is_named(make_run, painted):
    known = evaluated(run := make_run(1, (1,)))["set"]["sha256"]
    (run.path / "result.json").unlink()
    assert evaluated(edited(run, set={"name": "ours", "sha256": known}))["set"]["name"] == "ours"
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match="results on different sets are not compared"):
        main(edited(run, set={"name": "ours", "sha256": "0" * 64}), False)


def test_every_metric_says_which_columns_it_fills():
    from rlhf.evaluation.columns import COLUMNS, columns_of

    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert [name for name in METRICS if not columns_of(name)] == []


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
