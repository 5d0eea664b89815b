"""The world of the DPO benchmark: rules, votes of people of known skill, and requests of runs."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from bench.dpo_round import describe_pairs, plot, table
from bench.dpo_world import (
    ANNOTATORS,
    COINS,
    VOTES_PER_TRACK,
    choose,
    draw_questions,
    evaluation_request,
    judge,
    pair_seeds,
    sample_items,
)
from bench.found_data import count_faults, write_found_data
from generator.portraits.planted_faults import SOURCES, PlantedFault
from rlhf.records import Track, Verdict
from rlhf.training.instances import read_dataset
from rlhf.votes.consensus import resolve_track

FIRST, SECOND, TIE = Verdict.FIRST, Verdict.SECOND, Verdict.TIE


def found(identity: list[Verdict], controllability: list[Verdict]):
    return {
        Track.IDENTITY: resolve_track(identity, VOTES_PER_TRACK),
        Track.CONTROLLABILITY: resolve_track(controllability, VOTES_PER_TRACK),
    }


@pytest.mark.parametrize(
    ("votes", "by_rule"),
    [
        (([FIRST] * 3, [FIRST] * 3), {"pareto": "first", "pooled": "first", "identity": "first"}),
        (([FIRST] * 3, [TIE] * 3), {"pareto": None, "pooled": "first", "controllability": None}),
        (
            ([FIRST] * 3, [SECOND] * 2 + [TIE]),
            {"pareto": None, "pooled": "first", "controllability": "second"},
        ),
        (([FIRST] * 3, [SECOND] * 3), {"pareto": None, "pooled": None, "identity": "first"}),
        (([SECOND, SECOND, TIE], [SECOND] * 3), {"pareto": "second", "pooled": "second"}),
    ],
)
def test_each_rule_prefers_what_it_says(votes, by_rule):
    assert {rule: choose(found(*votes), rule) for rule in by_rule} == by_rule


def test_votes_find_a_clear_truth_as_often_as_their_people_do():
    scores = [{Track.IDENTITY: (-1.0, -90.0), Track.CONTROLLABILITY: (-90.0, -1.0)}] * 2_000
    judged = judge(scores)
    assert judged == judge(scores), "the same seed, the same votes"
    counts = Counter[Verdict]()
    for pair in judged:
        counts.update(pair[Track.IDENTITY].counts)
    assert counts.total() == len(scores) * VOTES_PER_TRACK
    # Each is habitually undecided, then habitually left (right half of the time by the shuffled sides), then
    # as accurate as stated.
    expected = sum(
        (1 - one.tie_rate) * (one.side_bias / 2 + (1 - one.side_bias) * one.accuracy) for one in ANNOTATORS
    ) / len(ANNOTATORS)
    assert counts[FIRST] / counts.total() == pytest.approx(expected, abs=0.02)
    right = sum(pair[Track.IDENTITY].verdict is FIRST for pair in judged) / len(judged)
    assert right > expected, "a majority sees more than one person"


def test_coin_tosses_follow_no_truth():
    """Four standard deviations of a share of n = 2000: at most 0.045."""
    scores = [{Track.IDENTITY: (-1.0, -90.0), Track.CONTROLLABILITY: (-90.0, -1.0)}] * 2_000
    judged = judge(scores, annotators=COINS)
    right = sum(pair[Track.IDENTITY].verdict is FIRST for pair in judged) / len(judged)
    assert right == pytest.approx(0.5, abs=0.045)


def test_the_pairs_of_a_rule_are_counted_against_the_oracle():
    truths = [{Track.IDENTITY: "left", Track.CONTROLLABILITY: side} for side in ("left", "right", "tie")]
    clear = found([FIRST] * 3, [FIRST] * 3)
    bench = SimpleNamespace(votes=lambda rule: ([clear] * 3, rule.replace("coin", "pareto")), truths=truths)
    assert describe_pairs(bench)["pareto"] == {"pairs": 3, "better_on_both": 1}


def test_people_of_the_pairs_are_in_no_comparison(tmp_path):
    pairs = draw_questions(tmp_path / "a", "train", people=2, each=2, seed=7)
    tests = draw_questions(tmp_path / "b", "eval", people=2, each=1, seed=9)
    assert {item.person.name for item in pairs}.isdisjoint(item.person.name for item in tests)
    model, settings = {"base": "tiny", "adapters": []}, {"guidance_scale": 5.0}
    items = sample_items(pairs, pair_seeds)
    assert len({item["sample_id"] for item in items}) == 8 and len({item["seed"] for item in items}) == 8
    assert all((pairs[0].person / name).is_file() for name in pairs[0].kinds)
    compared = evaluation_request(tests, model, {**model, "adapters": ["x"]}, settings, [0])
    (first, _) = compared["instances"]
    changed = {change.element: change.target for change in tests[0].plan.prompt.changed}
    assert first["expected"].items() >= changed.items() and len(first["expected"]) == 7
    assert set(first["changed"]) == set(changed) and first["identity"] == tests[0].person.name


def test_found_data_have_faults_at_the_rates_of_their_sources():
    """Four standard deviations of a share of n = 4000: at most 0.032."""
    found = count_faults(4_000)
    for fault in PlantedFault:
        stated = sum(source.share * source.rates[fault] for source in SOURCES)
        assert found[fault] == pytest.approx(stated, abs=0.032)


def test_found_data_are_written_once(tmp_path):
    questions = draw_questions(tmp_path / "people", "train", people=2, each=2, seed=6)
    targets = [instance.target for instance in read_dataset(write_found_data(tmp_path / "found", questions))]
    times = [target.stat().st_mtime_ns for target in targets]
    write_found_data(tmp_path / "found", questions)
    assert [target.stat().st_mtime_ns for target in targets] == times


def test_the_table_and_the_plot_hold_every_row():
    figure = {"win_rate": 0.55, "low": 0.4, "high": 0.7, "gain": 1.204}
    row = {"system": "the round", "seed": 0, "num_pairs": 113, "accuracy": 0.98}
    rows = [row | {str(track): figure for track in Track}]
    assert "| 0.98 | 0.55 [0.40, 0.70], +1.20 | 0.55 [0.40, 0.70], +1.20 |" in table(rows)
    assert plot(rows * 3) == plot(rows * 3) != plot(rows), "equal figures, equal bytes"
    assert plot(rows).count("the round, seed 0") == 1 and ">identity<" in plot(rows)
