import json

import pytest

from rlhf.sft.config import SFTConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "half"},
        {"p_empty": 1.5},
        {"p_drop": -0.1},
        {"p_still": 2},
        {"stills": 0},
        {"ema_decay": 1},
        {"sample_every": -1},
        {"sample_count": 0},
        {"sample_steps": 0},
        {"guidance_scale": 0.5},
        {"steps": 0},
        {"time_shift": 0},
        {"learning_rate": 0},
    ],
)
def test_it_names_the_field_that_is_wrong(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        SFTConfig.from_json(wrong)


def test_it_names_an_unknown_field():
    with pytest.raises(ValueError, match="unknown field .emma_decay.; known are"):
        SFTConfig.from_json({"emma_decay": 0.9})


def test_it_survives_json():
    config = SFTConfig(mode="full", targets=("to_q",), time_shift=5.0)
    assert SFTConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_it_takes_the_shift_of_the_models_sampler_unless_told_otherwise():
    assert SFTConfig.from_json({}).time_shift is None
