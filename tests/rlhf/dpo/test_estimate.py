"""What a run will take follows from what runs took; less memory means the same learning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import Device, PastRun, estimate, less_memory, pairs_per_step, with_less_memory

CONFIG = FlowDPOConfig(steps=10, batch_size=4, accumulation=2)
PAST = PastRun("round dpo-1", CONFIG, (8.0, 8.0, 100.0), other_seconds=50.0, num_pairs=25, memory_bytes=3_000)


def test_a_run_like_the_last_one_takes_as_long():
    found = estimate(CONFIG, 25, [PAST])
    assert found is not None
    assert (found.seconds, found.seconds_per_step, found.memory_bytes) == (10 * 8 + 50, 8, 3_000)


def test_it_scales_with_pairs_a_step_and_with_pairs():
    found = estimate(replace(CONFIG, batch_size=8, steps=5), 50, [PAST])
    assert found is not None
    assert (found.seconds, found.seconds_per_step) == (5 * 16 + 100, 16)
    assert found.memory_bytes is None  # nobody measured so large a batch


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 64, "alpha": 64},
        {"bf16": True},
        {"split_branches": True},
        {"branch_parallel": True},
        {"sharded": True},
        {"gradient_checkpointing": True},
    ],
)
def test_runs_that_cost_something_else_say_nothing(change):
    assert estimate(replace(CONFIG, **change), 25, [PAST]) is None
    assert estimate(CONFIG, 25, []) is None


def test_emulated_bfloat16_multiplies_the_steps_of_float32():
    """Ten steps of 8 s become ten of 8 * 17 s; the rest of the run, mostly reading and writing, stays."""
    emulating, fast = Device("cpu", False, 17.0), Device("cpu", True, 0.3)
    asked = replace(CONFIG, bf16=True)
    found = estimate(asked, 25, [PAST], emulating)
    assert found is not None and found.slowdown == 17
    assert (found.seconds, found.seconds_per_step) == (10 * 8 * 17 + 50, 8 * 17)
    assert estimate(asked, 25, [PAST], fast) is None  # how much it gains is not known
    known = replace(PAST, name="in bfloat16", config=asked, seconds=(90.0,))
    measured = estimate(asked, 25, [PAST, known], emulating)
    assert measured is not None and (measured.seconds_per_step, measured.slowdown) == (90, 1)


def test_one_slow_run_does_not_decide():
    slow = replace(PAST, name="slow", seconds=(800.0,))
    found = estimate(CONFIG, 25, [PAST, slow, replace(PAST, name="third", memory_bytes=None)])
    assert found is not None
    assert found.seconds_per_step == 8 and found.memory_bytes == 3_000
    assert found.runs == ("round dpo-1", "slow", "third")


def test_each_step_down_saves_memory_and_learns_the_same():
    seen, config = [], CONFIG
    while change := less_memory(config):
        smaller = with_less_memory(config)
        assert pairs_per_step(smaller) == pairs_per_step(config)
        assert (smaller.beta, smaller.learning_rate, smaller.rank) == (
            config.beta,
            config.learning_rate,
            config.rank,
        )
        seen.append(next(iter(change)))
        config = smaller
    assert seen == [
        "gradient_checkpointing",
        "kept_activations",
        "split_branches",
        "batch_size",
        "batch_size",
    ]
    assert config.batch_size == 1 and less_memory(config) == {}


def test_devices_that_share_the_branches_split_nothing_further():
    config = replace(CONFIG, branch_parallel=True, gradient_checkpointing=True, kept_activations="none")
    assert "batch_size" in less_memory(config)


def test_compiled_blocks_keep_nothing():
    assert with_less_memory(replace(CONFIG, compiled=True)).kept_activations == "none"
