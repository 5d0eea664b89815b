"""The figures of a user study: planted preferences are found again."""

from __future__ import annotations

from itertools import combinations
from math import exp, sqrt

import numpy as np
import pytest

from rlhf.evaluation.study_figures import Answer, study_figures
from rlhf.evaluation.study_plan import Criterion, plan_study
from rlhf.records import Verdict
from rlhf.votes.bradley_terry import Comparison, refit, strengths

pytestmark = pytest.mark.slow

MODELS = ("anyid", "consisid", "phantom")
#: log pi of each model by each criterion, and log nu: what the planted people think.
PLANTED = {
    Criterion.IDENTITY_FIDELITY: (1.0, 0.0, -1.0),
    Criterion.PROMPT_CONTROLLABILITY: (-0.8, 0.8, 0.0),
    Criterion.ELEMENT_CONSISTENCY: (0.0, -0.7, 0.7),
    Criterion.VISUAL_QUALITY: (0.6, 0.0, -0.6),
}
NU = 0.5


def davidson(first: float, second: float) -> list[float]:
    """Probabilities of first, second and tie."""
    weights = [exp(first), exp(second), NU * sqrt(exp(first + second))]
    return [weight / sum(weights) for weight in weights]


def planted_answers(participants: int = 20, pairs_each: int = 40, *, seed: int = 0) -> list[Answer]:
    """A study of people who all think alike."""
    rng = np.random.default_rng(seed)
    verdicts = (Verdict.FIRST, Verdict.SECOND, Verdict.TIE)
    found = []
    for person, plan in enumerate(plan_study(MODELS, 20, participants, pairs_each, seed=seed)):
        for pair in plan:
            one, other = MODELS.index(pair.first), MODELS.index(pair.second)
            said = {
                criterion: verdicts[rng.choice(3, p=davidson(log_pi[one], log_pi[other]))]
                for criterion, log_pi in PLANTED.items()
            }
            key = pair.item * 9 + 3 * one + other
            found.append(Answer(person, key, pair.first, pair.second, pair.first_on_left, said))
    return found


def test_planted_strengths_and_their_ranking_are_found_by_every_criterion():
    figures = study_figures(planted_answers(), MODELS)
    for criterion, log_pi in PLANTED.items():
        found = figures[criterion]
        assert found.ranking == [name for _, name in sorted(zip(log_pi, MODELS, strict=True), reverse=True)]
        for name, planted in zip(MODELS, log_pi, strict=True):
            estimate = found.strengths[name]
            assert estimate.low < estimate.value < estimate.high
            # 800 answers: an error of 0.1 or so; a mistaken model would be off by far more.
            assert estimate.value == pytest.approx(planted, abs=0.3)
        ties = np.mean([davidson(log_pi[a], log_pi[b])[2] for a, b in combinations(range(3), 2)])
        assert found.ties.low <= ties <= found.ties.high
        assert found.left.low <= 0.5 <= found.left.high


def answer(person: int, first: str, second: str, verdict: Verdict, *, pair: int = 0) -> Answer:
    return Answer(person, pair, first, second, True, dict.fromkeys(Criterion, verdict))


def test_win_rates_are_counted_by_hand():
    said = [
        answer(1, "a", "b", Verdict.FIRST),
        answer(1, "a", "c", Verdict.TIE, pair=1),
        answer(2, "a", "b", Verdict.FIRST),
        answer(2, "b", "c", Verdict.SECOND, pair=2),
    ]
    found = study_figures(said, ("a", "b", "c"))[Criterion.VISUAL_QUALITY]
    assert {name: rate.value for name, rate in found.win_rates.items()} == {"a": 2.5 / 3, "b": 0, "c": 0.75}
    assert found.against["a", "c"].value == found.against["c", "a"].value == 0.5
    assert found.against["a", "b"].value == 1 and found.against["b", "a"].value == 0
    assert found.ties.value == 0.25 and found.left.value == 2 / 3
    assert found.agreement.raw.value == 1


def test_an_interval_is_of_participants_not_of_answers():
    """Half of the people always say the one and half the other: 400 answers, but only 8 opinions."""
    verdicts = (Verdict.FIRST, Verdict.SECOND)
    said = [
        answer(person, "a", "b", verdicts[person % 2], pair=pair) for person in range(8) for pair in range(50)
    ]
    rate = study_figures(said, ("a", "b"))[Criterion.VISUAL_QUALITY].win_rates["a"]
    spread = 2 * 1.96 * sqrt(0.25 / 8)
    assert rate.value == 0.5 and rate.count == 400
    assert rate.high - rate.low == pytest.approx(spread, abs=0.15)


def test_many_fits_at_once_are_the_fits_one_by_one():
    said = planted_answers(6, 20)
    votes = [
        Comparison(number, a.first, a.second, a.verdicts[Criterion.IDENTITY_FIDELITY])
        for number, a in enumerate(said)
    ]
    matches = list(combinations(range(3), 2))
    counts = np.zeros((2, 3, 3))
    for vote in votes:
        match = matches.index((MODELS.index(vote.first), MODELS.index(vote.second)))
        counts[0, match, ("first", "second", "tie").index(vote.verdict)] += 1
    counts[1, :, 0] = 5
    one, none = refit(matches, counts)
    assert one == pytest.approx([strengths(votes).models[name].value for name in MODELS], abs=1e-4)
    assert np.isnan(none).all()


def test_what_cannot_be_said_has_its_reason():
    alone = study_figures([answer(1, "a", "b", Verdict.FIRST)], ("a", "b"))[Criterion.VISUAL_QUALITY]
    assert alone.win_rates["a"].low is None and "one participant" in alone.win_rates["a"].reason
    assert alone.strengths["a"].value is None and "no vote limits" in alone.strengths["a"].reason
    assert alone.ranking == ["a", "b"]
    absent = study_figures([answer(1, "a", "b", Verdict.FIRST)], ("a", "b", "c"))[Criterion.VISUAL_QUALITY]
    assert "nobody compared" in absent.win_rates["c"].reason
    assert "not every model" in absent.strengths["a"].reason
    empty = study_figures([], ("a", "b"))[Criterion.VISUAL_QUALITY]
    assert empty.win_rates["a"].value is None and empty.ties.value is None
