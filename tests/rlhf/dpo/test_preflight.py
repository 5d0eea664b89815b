"""Each warning is planted alone and found alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlhf.dpo.config import WAN_5B, FlowDPOConfig
from rlhf.dpo.estimate import Device
from rlhf.dpo.preflight.checks import find_warnings
from rlhf.dpo.preflight.facts import PairFacts
from rlhf.dpo.preflight.pairs import is_non_commercial

#: Two hundred pairs of twenty people, judged evenly by four annotators.
GOOD = PairFacts(
    identities={f"person {number}": 10 for number in range(20)},
    human_votes=1200,
    annotators=dict.fromkeys(range(4), 300),
    sided_votes=1000,
    left_votes=505,
    agreement={"identity": 0.8, "controllability": 0.75},
    chosen_smaller=97,
    sized=200,
    licences={"CC0-1.0": 200},
)
CONFIG = FlowDPOConfig()


@pytest.mark.parametrize(("facts", "config"), [(GOOD, CONFIG), (replace(GOOD, is_large=True), WAN_5B)])
def test_nothing_is_said_of_good_pairs_and_the_shipped_settings(facts, config):
    assert find_warnings(facts, config) == []


def test_bfloat16_is_warned_of_where_it_is_emulated():
    """The device of the last run is known; the shipped settings ask for what it is fast at."""
    emulating, fast = Device("cpu", False, 12.6), Device("cpu", True, 0.3)
    asked = replace(CONFIG, bf16=True)
    (warning,) = find_warnings(replace(GOOD, device=emulating), asked)
    assert warning.name == "slow_bf16" and "about 13 times as long" in warning.message and not warning.blocks
    assert find_warnings(replace(GOOD, device=emulating), CONFIG) == []
    assert find_warnings(replace(GOOD, device=fast), asked) == find_warnings(GOOD, asked) == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("few_pairs", {"identities": dict.fromkeys("abcdefghijkl", 5)}),
        ("few_identities", {"identities": dict.fromkeys("abcdefgh", 25)}),
        ("one_identity", {"identities": GOOD.identities | {"person 0": 90}}),
        ("simulated_votes", {"simulated_pairs": 1}),
        ("disqualified", {"disqualified_votes": 2}),
        ("one_annotator", {"annotators": {1: 700, 2: 500}}),
        ("side", {"left_votes": 640}),
        ("side", {"left_votes": 360}),
        ("motion", {"chosen_smaller": 150}),
        ("motion", {"chosen_smaller": 40}),
        ("low_agreement", {"agreement": {"identity": 0.5, "controllability": 0.8}}),
        ("off_policy", {"from_others": 3}),
        ("non_commercial", {"licences": {"CC-BY-NC-4.0": 3, "CC0-1.0": 197}}),
        ("no_licence", {"licences": {"": 3, "CC0-1.0": 197}}),
        ("withheld", {"withheld": 2, "why_withheld": "Consent to train is refused for Ann; leave her out."}),
    ],
)
def test_it_finds_what_is_wrong_with_pairs(name, changes):
    (warning,) = find_warnings(replace(GOOD, **changes), CONFIG)
    assert warning.name == name and not warning.blocks and warning.remedy


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("low_beta", {"beta": 50.0}),
        ("high_beta", {"beta": 5000.0}),
        ("high_rate", {"learning_rate": 1e-3}),
        ("no_guard", {"guard": "none"}),
        ("nobody_held_out", {"held_out": 0.0}),
        ("few_evaluations", {"evaluate_every": 50}),
        ("many_passes", {"steps": 800}),
        ("part_of_a_pass", {"batch_size": 1}),
        ("all_warmup", {"warmup_steps": 100}),
    ],
)
def test_it_finds_what_is_wrong_with_settings(name, changes):
    (warning,) = find_warnings(GOOD, replace(CONFIG, **changes))
    assert warning.name == name and not warning.blocks


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("no_consent", {"why_no_consent": "Consent to train has ended for Ann; renew it."}),
        ("uneven_pairs", {"uneven": 1}),
    ],
)
def test_some_traps_block(name, changes):
    (warning,) = find_warnings(replace(GOOD, **changes), CONFIG)
    assert warning.name == name and warning.blocks


@pytest.mark.parametrize("name", ["branch_parallel", "sharded"])
def test_a_worker_starts_one_process(name):
    (warning,) = find_warnings(GOOD, replace(CONFIG, **{name: True}))
    assert warning.name == name and warning.blocks


def test_without_a_pair_that_is_all_there_is_to_say():
    (warning,) = find_warnings(PairFacts(), replace(CONFIG, guard="none"))
    assert warning.name == "no_pairs" and warning.blocks


def test_a_blocking_trap_comes_first():
    warnings = find_warnings(replace(GOOD, uneven=1), replace(CONFIG, beta=1.0, guard="none"))
    assert [warning.name for warning in warnings] == ["uneven_pairs", "low_beta", "no_guard"]


def test_the_rate_is_judged_by_the_size_of_the_model():
    assert find_warnings(GOOD, replace(CONFIG, learning_rate=1e-4)) == []
    (warning,) = find_warnings(replace(GOOD, is_large=True), replace(CONFIG, learning_rate=1e-4))
    assert warning.name == "high_rate"


def test_beta_is_named_in_both_conventions():
    (warning,) = find_warnings(GOOD, replace(CONFIG, beta=5000.0))
    assert "5000" in warning.message and "10000" in warning.message


def test_a_remedy_is_one():
    """Following what a warning says leads out of it."""
    rate = next(t for t in find_warnings(GOOD, replace(CONFIG, learning_rate=1e-3)) if t.name == "high_rate")
    lower = float(rate.remedy.split()[3].rstrip(";"))
    assert find_warnings(GOOD, replace(CONFIG, learning_rate=lower)) == []
    part = find_warnings(GOOD, replace(CONFIG, batch_size=1))[0]
    steps = int(part.remedy.split()[3])
    assert find_warnings(GOOD, replace(CONFIG, batch_size=1, steps=steps)) == []
    low = replace(GOOD, agreement={"identity": 0.5})
    assert find_warnings(low, replace(CONFIG, pair_weighting="posterior")) == []


@pytest.mark.parametrize(
    "licence", ["CC-BY-NC-4.0", "cc by nc sa", "research, non-commercial", "Noncommercial"]
)
def test_non_commercial_licences_are_known_by_name(licence):
    assert is_non_commercial(licence)


@pytest.mark.parametrize("licence", ["CC-BY-4.0", "CC0-1.0", "commercial", "", "Apache-2.0"])
def test_others_are_not(licence):
    assert not is_non_commercial(licence)
