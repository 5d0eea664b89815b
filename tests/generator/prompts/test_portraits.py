"""The portrait world as a model: exact where it should be, and wrong at the rates it is told."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.prompts import (
    ERRORS,
    GAMMAS,
    PATIENCE,
    Score,
    add,
    best_gamma,
    draw_cases,
    draw_plot,
    gain,
    measure,
    model_of,
    one_step_claims,
    score,
    two_stage_claims,
)
from generator.portraits.__main__ import write_person
from generator.portraits.paraphrases import CONCEPTS, PARAPHRASES, STATES
from generator.portraits.world import ELEMENT_STATES, SPLIT_SEEDS
from generator.prompts.asking import Asker, ModelError
from generator.prompts.backends.portraits import Errors, similarity
from generator.prompts.questions import AskedModel
from generator.prompts.run import main
from generator.prompts.stages import GAMMA
from generator.prompts.transcript import Transcript
from generator.records import ELEMENTS
from generator.rundir import RunDir, RunError


@pytest.fixture(scope="module")
def person(tmp_path_factory) -> Path:
    return write_person(tmp_path_factory.mktemp("people") / "p", SPLIT_SEEDS["benchmark"], "benchmark")


def test_a_run_on_drawn_people_finds_exactly_what_changes(person, tmp_path) -> None:
    files = json.loads((person / "identity.json").read_text())["files"]
    names = sorted(files)
    pairs = [{"pair_id": f"{a}-{b}", "primary": a, "target": b} for a in names for b in names if a != b]
    for mode in ("two_stage", "one_step"):
        run = RunDir(tmp_path / mode)
        comparer = {"comparer": {"backend": "portraits"}} if mode == "two_stage" else {}
        media = {name: run.relative(person / name) for name in names}
        request = {"stage": "prompts", "mode": mode, "describer": {"backend": "portraits"}, **comparer}
        run.create({**request, "media": media, "pairs": pairs})
        main(run, False)
        for row in run.read_result()["prompts"]:
            before, after = files[row["primary"]]["elements"], files[row["target"]]["elements"]
            claimed = {item["element"]: item["target"] for item in row["elements"] if item["changed"]}
            assert claimed == {e: after[e] for e in ELEMENTS if after[e] != before[e]}


def test_a_file_that_nobody_drew_is_missing(tmp_path, make) -> None:
    run = RunDir(tmp_path / "run")
    portraits = {"backend": "portraits"}
    media = {"a": f"../{make.photo().name}"}
    pairs = [{"pair_id": "p", "primary": "a", "target": "a"}]
    run.create(
        {"stage": "prompts", "describer": portraits, "comparer": portraits, "media": media, "pairs": pairs}
    )
    with pytest.raises(RunError, match="1 of 1"):
        main(run, False)
    assert "is not of a drawn person" in (run.path / "missing.json").read_text()


def test_every_state_has_paraphrases_that_mean_it_alone() -> None:
    for element, states in ELEMENT_STATES.items():
        assert PARAPHRASES[element].keys() == CONCEPTS[element].keys() == set(states)
        assert len(STATES[element]) == sum(1 + len(PARAPHRASES[element][state]) for state in states)
        assert len(set(CONCEPTS[element].values())) == len(states)


def test_the_exact_comparer_tells_states_apart() -> None:
    for element, states in ELEMENT_STATES.items():
        for first in states:
            for second in states:
                alike = similarity(element, first, second)
                assert alike == 1.0 if first == second else alike < GAMMA


def test_errors_come_at_their_rates(tmp_path) -> None:
    """Both kinds among first attempts, by 6 standard deviations; no error, no wrong reading."""
    cases = draw_cases(150, 0)
    truth = {case.target: case.after for case in cases} | {case.primary: case.before for case in cases}
    model = model_of(cases, replace(ERRORS, paraphrased=True, seed=3))
    transcript = Transcript(tmp_path / "t.jsonl")
    describer = AskedModel(Asker(model, transcript, PATIENCE), lambda medium: ())
    counts: Counter[str] = Counter()
    for medium, states in truth.items():
        described = describer.describe(medium)
        assert described.keys() == set(ELEMENTS)
        counts["wrong"] += sum(STATES[e][str(described[e])] != states[e] for e in ELEMENTS)
        counts["reworded"] += sum(described[e] != STATES[e][str(described[e])] for e in ELEMENTS)
        counts["all"] += len(ELEMENTS)
    first_looks = [entry for entry in transcript if entry["attempt"] == 1]
    short = sum(bool(entry["faults"]) for entry in first_looks)
    assert all(set(entry["faults"]) <= {"omitted"} for entry in transcript)
    # A first look leaves nothing out with 0.95^7; a kept reading is wrong with 0.05 / 0.95.
    check_share(short, len(first_looks), 1 - 0.95**7)
    check_share(counts["wrong"], counts["all"], 0.05 / 0.95)
    check_share(counts["reworded"], counts["all"], 2 / 3)


def check_share(count: int, of: int, share: float) -> None:
    assert abs(count - of * share) < 6 * (of * share * (1 - share)) ** 0.5


def test_equal_seeds_err_alike(tmp_path) -> None:
    cases, transcript = draw_cases(3, 0), Transcript(tmp_path / "t.jsonl")
    claims = [
        one_step_claims(cases, Asker(model_of(cases, replace(ERRORS, seed=seed)), transcript))
        for seed in (1, 1, 2)
    ]
    assert claims[0] == claims[1] != claims[2]


def test_without_errors_both_modes_are_right_at_every_gamma_that_parts_states(tmp_path) -> None:
    cases = draw_cases(20, 0)
    asker = Asker(model_of(cases, Errors()), Transcript(tmp_path / "t.jsonl"))
    claims = {**two_stage_claims(cases, asker, (GAMMA, 0.95)), "one-step": one_step_claims(cases, asker)}
    for made in claims.values():
        result = add(score(case, made[case.pair_id]) for case in cases)
        assert result.precision == result.recall == 1.0


@pytest.mark.slow
def test_the_default_gamma_is_the_curves_and_two_stages_beat_one(tmp_path) -> None:
    measured = measure(100, (0,), tmp_path)
    assert best_gamma(measured["two-stage"]) == GAMMA
    double, single = (add(measured[mode][GAMMA]) for mode in ("two-stage", "one-step"))
    assert double.recall > single.recall
    low, high = gain(measured, GAMMA)
    assert 0 < low < double.f1 - single.f1 < high
    drawn = draw_plot(measured)
    names = [
        f"{mode}: {name}" for mode in ("two-stage", "one-step") for name in ("precision", "recall", "F1")
    ]
    assert [drawn.count(f'id="{name}"') for name in names] == [1] * 6
    assert all(tuple(by_gamma) == GAMMAS for by_gamma in measured.values())


def test_scores_count_a_right_change_with_a_wrong_target_as_wrong() -> None:
    assert Score(right=3, claimed=4, true=6).f1 == pytest.approx(2 * 0.75 * 0.5 / (0.75 + 0.5))
    (case, *_) = draw_cases(1, 0)
    changed = {e: case.after[e] for e in ELEMENTS if case.after[e] != case.before[e]}
    element = next(iter(changed))
    other = next(state for state in ELEMENT_STATES[element] if state != case.after[element])
    assert score(case, changed) == Score(len(changed), len(changed), len(changed))
    assert score(case, changed | {element: other}) == Score(len(changed) - 1, len(changed), len(changed))


def test_a_share_of_errors_is_a_share() -> None:
    with pytest.raises(ValueError, match="omitted is 2; it must be in \\[0, 1\\]"):
        Errors(omitted=2)


def test_it_says_when_words_are_not_of_its_world() -> None:
    with pytest.raises(ModelError, match="'a toga' says nothing of clothing"):
        similarity("clothing", "a toga", "a red shirt")
