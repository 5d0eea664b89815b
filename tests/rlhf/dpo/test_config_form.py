"""A form says what the configuration says, and reads back what it wrote."""

from __future__ import annotations

from dataclasses import fields

import pytest

from rlhf.dpo.config import WAN_5B, FlowDPOConfig
from rlhf.dpo.form import read_form, settings_of, written
from rlhf.sft.config import SFTConfig


@pytest.mark.parametrize("kind", [FlowDPOConfig, SFTConfig])
def test_every_field_has_its_meaning(kind):
    settings = settings_of(kind)
    assert {one.name for one in settings} == {field.name for field in fields(kind)}
    assert all(len(one.meaning) > 10 and "`" not in one.meaning for one in settings)


def test_a_class_says_what_its_own_field_means():
    meanings = {one.name: one.meaning for one in settings_of(FlowDPOConfig)}
    assert "twice this one" in meanings["beta"]
    assert "equal to the sampler" in meanings["time_shift"]  # the parent's would say None


@pytest.mark.parametrize(
    "config",
    [
        FlowDPOConfig(),
        WAN_5B,
        FlowDPOConfig(loss_types=("robust", "sft"), loss_weights=(1, 0.05), label_smoothing=0.1),
    ],
)
def test_what_it_writes_it_reads_back(config):
    form = {one.name: written(getattr(config, one.name)) for one in settings_of(FlowDPOConfig)}
    assert read_form(form, FlowDPOConfig(seed=7)) == config


def test_what_is_not_given_stays():
    base = FlowDPOConfig(beta=700)
    assert read_form({"export": "3", "steps": " 50 "}, base) == FlowDPOConfig(beta=700, steps=50)


CHOICES = {one.name: one.choices for one in settings_of(FlowDPOConfig) if one.choices}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_can_be_used(name):
    for choice in CHOICES[name]:
        assert getattr(read_form({name: choice}, FlowDPOConfig()), name) == choice


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("beta", "strong", "beta is 'strong'; it must be a number"),
        ("beta", "nan", "finite"),
        ("beta", "-1", "beta is -1.0; it must be above 0"),
        ("steps", "2.5", "steps is '2.5'; it must be a whole number"),
        ("bf16", "yes", "bf16 is 'yes'; it must be on or off"),
        ("guard", "soft", "sdpo or none"),
        ("loss_weights", "1, x", "loss_weights is 'x'"),
        ("loss_types", "", "a list of at least 1"),
    ],
)
def test_it_names_the_value_and_the_rule(name, text, says):
    with pytest.raises(ValueError, match="it must be") as caught:
        read_form({name: text}, FlowDPOConfig())
    assert says in str(caught.value)
