"""What an evaluation measures: tracks, tables, directions, and no video twice."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from generator.media.video import read_clip  # noqa: E402
from generator.portraits.oracle import Reading  # noqa: E402
from generator.portraits.world import IDENTITY_SIZE  # noqa: E402
from rlhf.evaluation.columns import COLUMNS, columns_of  # noqa: E402
from rlhf.evaluation.metrics.registry import METRICS  # noqa: E402
from rlhf.evaluation.report.page import write_report  # noqa: E402
from tests.rlhf.evaluation.painted_systems import PlantedOracle, clip, evaluated  # noqa: E402

TRACKS = ("identity", "controllability")


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
        shown = [value for value, _ in itertools.groupby((line[120:] / 50).round()) if value in (2, 4)]
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
        *((*video, 2) for video in differential),
        *((*video, 1) for video in differential),
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


def test_every_metric_says_which_columns_it_fills():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert [name for name in METRICS if not columns_of(name)] == []
