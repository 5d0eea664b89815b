"""Tables of scores: planted values come out again, and what is missing is counted."""

from __future__ import annotations

import numpy as np
import pytest

from rlhf.evaluation.columns import COLUMNS, PAPER_ABLATIONS, PAPER_FULL, Column
from rlhf.evaluation.paired import compare
from rlhf.evaluation.records import NOT_ASKED, MetricFacts
from rlhf.evaluation.table import (
    ScoredVideo,
    differences,
    directions,
    one_metric_a_column,
    paired,
    summary,
    verdict,
)
from rlhf.evaluation.text import ablation_lines, direction_lines, table_lines

HOLI = Column("holi_oracle", "Holi (oracle)", "oracle", "Holi-Arc")
DYN = Column("dyn", "Dyn.", "quality", "Dyn.")


def videos(system, scores, column="holi_oracle"):
    """One video a score; `scores` are by person, and each video is an instance of its own."""
    return [
        ScoredVideo(system, f"{person}-{number}", person, 0, {column: score})
        for person, mine in scores.items()
        for number, score in enumerate(mine)
    ]


def test_a_mean_is_over_videos_and_its_interval_over_people():
    scores = {"a": [0.2, 0.4, 0.6], "b": [0.8]}
    (cell,) = summary(videos("full", scores), [HOLI])["full"].values()
    assert cell["mean"] == pytest.approx(0.5)
    assert (cell["low"], cell["high"]) == (pytest.approx(0.4), pytest.approx(0.8)), "either person alone"
    assert (cell["n"], cell["num_identities"], cell["holes"]) == (4, 2, 0)


def test_one_person_gives_no_interval():
    found = summary(videos("full", {"a": [0.2, 0.4]}), [HOLI])["full"]["holi_oracle"]
    assert (found["mean"], found["low"], found["high"]) == (pytest.approx(0.3), None, None)


def test_holes_are_counted_apart_from_what_nobody_asked_for():
    made = videos("full", {"a": [0.2], "b": [0.4]})
    made += [
        ScoredVideo("full", "x", "c", 0, holes={"holi_oracle": "x.mp4 cannot be read"}),
        ScoredVideo("full", "y", "c", 0, holes={"holi_oracle": f"{NOT_ASKED}nothing changes"}),
    ]
    cell = summary(made, [HOLI])["full"]["holi_oracle"]
    assert cell["mean"] == pytest.approx(0.3), "a hole is no zero"
    assert (cell["n"], cell["holes"], cell["not_asked"]) == (2, 1, 1)


def test_differences_are_of_pairs_that_both_systems_have():
    full = videos("full", {"a": [0.5, 0.9], "b": [0.7]})
    less = videos("less", {"a": [0.4], "b": [0.5]})
    found = differences([*full, *less], [HOLI], "full")
    cell = found["less"]["holi_oracle"]
    assert set(found) == {"less"}
    assert cell["gain"] == pytest.approx((0.1 + 0.2) / 2), "the video that only one system has is left out"
    assert (cell["n"], cell["win_rate"]) == (2, 1.0)
    before, after = paired([*full, *less], "holi_oracle", "less", "full")
    assert cell["gain_low"] == pytest.approx(compare(before, after).gain_low)


def test_systems_without_a_common_video_have_no_difference():
    made = [*videos("full", {"a": [0.5]}), *videos("less", {"b": [0.5]})]
    cell = differences(made, [HOLI], "full")["less"]["holi_oracle"]
    assert cell == {
        **dict.fromkeys(("gain", "gain_low", "gain_high", "win_rate", "low", "high")),
        **{"n": 0, "num_identities": 0},
    }


def test_the_order_of_videos_changes_nothing():
    rng = np.random.default_rng(0)
    made = [
        *videos("full", {p: rng.random(3) for p in "abcde"}),
        *videos("less", {p: rng.random(3) for p in "abcde"}),
    ]
    mixed = [made[number] for number in rng.permutation(len(made))]
    for tabled in (summary, lambda rows, columns: differences(rows, columns, "full")):
        found, before = (tabled(rows, [HOLI])["less"]["holi_oracle"] for rows in (mixed, made))
        assert found == pytest.approx(before)


@pytest.mark.parametrize(
    ("paper", "gain", "low", "high", "said"),
    [
        (0.84, 0.01, 0.001, 0.02, "yes"),
        (0.84, -0.01, -0.02, -0.001, "no"),
        (0.84, 0.005, -0.01, 0.02, "undecided"),
        (0.84, None, None, None, "undecided"),
        (0.84, 0.01, None, None, "undecided"),
        (-0.84, -0.01, -0.02, -0.001, "yes"),
        (-0.05, 0.005, -0.01, 0.02, "undecided"),
        (-0.05, 0.002, -0.004, 0.01, "same"),
        (0.01, 0.01, 0.001, 0.02, "no"),
        (0.01, -0.0008, -0.0015, -0.0001, "same"),
    ],
)
def test_a_direction_holds_where_the_interval_lies_on_the_papers_side(paper, gain, low, high, said):
    assert verdict(paper, gain, low, high) == said


def test_planted_ablations_are_found_again():
    """Without assistants 0.05 are lost in identity and nothing in motion, as the paper has it."""
    rng = np.random.default_rng(1)
    people = [f"p{number}" for number in range(12)]
    truth = {person: rng.random(2) / 2 + 0.3 for person in people}
    made = []
    for system, lost in (("full", 0.0), ("single", 0.05)):
        for person in people:
            for number, value in enumerate(truth[person]):
                values = {"holi_oracle": value - lost + rng.normal(0, 0.005), "dyn": value}
                made.append(ScoredVideo(system, f"{person}-{number}", person, 0, values))
    gained = differences(made, [HOLI, DYN], "full")
    holi, dyn = directions(gained, {"single": "w/o AR"}, [HOLI, DYN])
    assert holi["holds"] == "yes" and holi["gain"] == pytest.approx(0.05, abs=0.005)
    assert dyn["holds"] == "same" and dyn["gain"] == 0
    result = {
        "columns": [column.to_json() for column in (HOLI, DYN)],
        "systems": {"full": {"label": "all of it"}, "single": {"label": "one reference"}},
        "reference": "full",
        "table": summary(made, [HOLI, DYN]),
        "directions": [holi, dyn],
    }
    (head, less, full), lines = ablation_lines(result), direction_lines(result)
    assert head.split() == ["Holi", "(oracle)", "Dyn."]
    assert less.startswith("w/o AR: one reference") and full.startswith("all of it")
    assert f"{100 * result['table']['full']['dyn']['mean']:.2f} [" in full
    assert "w/o AR" in lines[0] and "paper +0.84" in lines[0] and lines[0].endswith("holds")
    assert "paper +0.01" in lines[1] and lines[1].endswith("no difference, as there")


def test_a_printed_table_counts_what_is_missing():
    made = [
        *videos("full", {"a": [0.5], "b": [0.7]}),
        ScoredVideo("full", "x", "a", 0, holes={"holi_oracle": "gone"}),
    ]
    made.append(ScoredVideo("less", "x", "a", 0, holes={"holi_oracle": "gone"}))
    result = {
        "columns": [HOLI.to_json()],
        "systems": {"full": {"label": "all of it"}, "less": {"label": "less"}},
        "reference": "full",
        "table": summary(made, [HOLI]),
    }
    head, line = table_lines(result)
    assert head.split() == ["less", "all", "of", "it"]
    assert line == "Holi (oracle)  - (1 missing)  60.00 [50.00, 70.00] (1 missing)"


def test_the_papers_ablations_are_about_its_own_columns():
    papers = {column.paper for column in COLUMNS}
    assert set(PAPER_FULL) <= papers
    assert all(set(row) == set(PAPER_FULL) for row in PAPER_ABLATIONS.values())


def test_figures_that_rest_on_different_things_share_no_column():
    facts = MetricFacts("quality", ("sta", "dyn"), "weight-free", "", "Apache-2.0", "all", "counts 0")
    other = MetricFacts("learned", ("sta",), "a network", "ab", "MIT", "all", "counts 0")
    assert set(one_metric_a_column([facts])) == {"sta", "dyn"}
    with pytest.raises(ValueError, match="column sta is filled by quality and by learned"):
        one_metric_a_column([facts, other])
