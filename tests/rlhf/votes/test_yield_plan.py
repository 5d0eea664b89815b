import numpy as np
import pytest

from rlhf.votes.yield_plan import PilotPair, plan_yield


def pilot(dominant: int, others: int, *, dominant_s=(20.0,) * 6, other_s=(20.0,) * 3) -> list[PilotPair]:
    return [PilotPair(True, dominant_s)] * dominant + [PilotPair(False, other_s)] * others


def test_it_multiplies_rate_votes_and_seconds() -> None:
    """2 in 5 of 2,000 pairs: 100 exported pairs take 250; the 150 others cost half the votes."""
    plan = plan_yield(pilot(800, 1200), wanted=100)
    assert plan.dominance.value == 0.4
    assert plan.pairs.value == pytest.approx(250, rel=0.02)
    assert plan.votes.value == pytest.approx(100 * 6 + 150 * 3, rel=0.02)
    assert plan.hours.value == pytest.approx(plan.votes.value * 20 / 3600)
    assert (plan.hours.low, plan.hours.high) == pytest.approx(
        (plan.votes.low * 20 / 3600, plan.votes.high * 20 / 3600)
    )


def test_pairs_scatter_as_a_negative_binomial() -> None:
    """With the rate known from a huge pilot, the 95 % interval is 1.96 sqrt(N (1 - p)) / p on each side."""
    plan = plan_yield(pilot(20_000, 30_000), wanted=400)
    half = 1.96 * np.sqrt(400 * 0.6) / 0.4
    assert plan.pairs.high - plan.pairs.low == pytest.approx(2 * half, rel=0.06)


@pytest.mark.slow
def test_the_interval_holds_what_the_campaign_then_takes() -> None:
    """150 pilots of 40 pairs and as many campaigns: at 95 %, fewer than 133 would be once in a thousand."""
    rng = np.random.default_rng(1)

    def judge(pairs: int) -> list[PilotPair]:
        dominant = rng.random(pairs) < 0.35
        return [
            PilotPair(bool(d), tuple(rng.lognormal(3, 0.6, rng.integers(4, 8) if d else rng.integers(2, 6))))
            for d in dominant
        ]

    held = {"pairs": 0, "votes": 0, "hours": 0}
    for seed in range(150):
        plan = plan_yield(judge(40), wanted=30, seed=seed)
        campaign = judge(400)
        end = int(np.flatnonzero(np.cumsum([pair.is_dominant for pair in campaign]) == 30)[0]) + 1
        taken = {
            "pairs": end,
            "votes": sum(len(pair.active_s) for pair in campaign[:end]),
            "hours": sum(sum(pair.active_s) for pair in campaign[:end]) / 3600,
        }
        for name, value in taken.items():
            held[name] += getattr(plan, name).low <= value <= getattr(plan, name).high
    assert min(held.values()) >= 133


def test_a_larger_pilot_is_surer() -> None:
    small, large = plan_yield(pilot(8, 12), wanted=100), plan_yield(pilot(80, 120), wanted=100)
    assert large.hours.high - large.hours.low < (small.hours.high - small.hours.low) / 2


def test_where_every_pilot_pair_is_dominant_some_may_still_fail() -> None:
    plan = plan_yield(pilot(20, 0), wanted=100)
    assert plan.pairs.low >= 100
    assert plan.pairs.high > 103


def test_a_pilot_without_a_dominant_pair_cannot_say() -> None:
    plan = plan_yield(pilot(0, 30), wanted=10)
    assert plan.hours.reason == "undefined because none of 30 pilot pairs is dominant; judge more of them"
    assert plan.hours.value is plan.pairs.value is plan.votes.value is None
    assert plan.dominance.value == 0
    assert plan.dominance.high == pytest.approx(0.114, abs=0.001)


def test_without_a_pilot_it_says_so() -> None:
    assert plan_yield([], wanted=10).pairs.reason == "undefined because there are no finished pilot pairs"


def test_it_refuses_to_plan_for_nothing() -> None:
    with pytest.raises(ValueError, match="wanted is 0; plan for at least 1"):
        plan_yield(pilot(1, 1), wanted=0)
