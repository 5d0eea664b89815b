import json

import pytest

from rlhf.dpo.config import WAN_5B, FlowDPOConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0},
        {"steps": 0},
        {"batch_size": 1.5},
        {"learning_rate": -1e-5},
        {"guard": "maybe"},
        {"guard_mu": 2},
        {"time_low": 0.9, "time_high": 0.1},
        {"label_smoothing": 0.5},
        {"loss_types": ["best"]},
        {"loss_types": []},
        {"loss_types": ["sigmoid", "sft"], "loss_weights": [1.0]},
        {"loss_types": ["exo_pair"]},
        {"targets": []},
        {"warmup_steps": -1},
        {"label_smoothing": 0.1},
        {"beta_schedule": "falling"},
        {"pair_weighting": "votes"},
        {"draws_per_pair": 6},
        {"draws_per_pair": -4},
        {"held_out": 0.6},
        {"split_branches": True, "branch_parallel": True},
        {"evaluate_every": 0},
        {"max_excess": 0},
        {"ema_decay": 1.0},
        {"kept_activations": "all"},
        {"kept_activations": "attention", "gradient_checkpointing": True, "compiled": True},
    ],
)
def test_it_names_the_field_that_is_wrong(wrong):
    with pytest.raises(ValueError, match="|".join([*wrong, "label_smoothing"])):
        FlowDPOConfig.from_json(wrong)


def test_it_names_an_unknown_field():
    with pytest.raises(ValueError, match="unknown field .betta.; known are"):
        FlowDPOConfig.from_json({"betta": 1})


def test_it_says_when_a_type_is_wrong():
    with pytest.raises(ValueError, match="beta is .high.; it must be a number"):
        FlowDPOConfig.from_json({"beta": "high"})


def test_it_survives_json():
    assert FlowDPOConfig.from_json(json.loads(json.dumps(WAN_5B.to_json()))) == WAN_5B


def test_an_empty_config_suits_the_shipped_model():
    assert FlowDPOConfig.from_json({}) == FlowDPOConfig()
