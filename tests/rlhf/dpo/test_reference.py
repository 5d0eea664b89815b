from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from generator.model.transformer import AnyIDTransformer  # noqa: E402
from rlhf.dpo.config import FlowDPOConfig  # noqa: E402
from rlhf.dpo.policy import FlowPolicy  # noqa: E402
from rlhf.dpo.reference import identify, open_bank  # noqa: E402
from rlhf.training import cache  # noqa: E402
from rlhf.training.cache import frozen_sha256  # noqa: E402
from rlhf.training.lora import add_adapter, trainable_state  # noqa: E402

WAN = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 1,
    "rope_max_seq_len": 32,
}
CONFIG = FlowDPOConfig()


def build(**changes):
    torch.manual_seed(0)
    model = AnyIDTransformer(**{**WAN, **changes})
    add_adapter(model, rank=2, alpha=2, targets=("to_q",), seed=0)
    return model


@pytest.fixture
def key(tmp_path):
    def key(model, config=CONFIG, pairs=("a", "b"), draws_per_pair=8):
        return open_bank(tmp_path, config, identify(FlowPolicy(model)), pairs, draws_per_pair).path.name

    return key


def with_another_weight():
    model = build()
    model.blocks[0].attn1.to_q.base_layer.weight.data[0, 0] += 1e-6
    return model


@pytest.mark.parametrize(
    "change",
    [
        with_another_weight,
        lambda: build().to(torch.bfloat16),
        lambda: build(num_attention_heads=4, attention_head_dim=6),  # the same weights, other heads
        lambda: build(reference_position="before"),
        lambda: build(eps=1e-5),
    ],
    ids=["weight", "dtype", "heads", "position", "eps"],
)
def test_another_model_has_another_bank(key, change):
    assert key(change()) != key(build())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 4},
        {"time_shift": 5.0},
        {"time_mean": 0.5},
        {"time_high": 0.9},
        {"time_strata": 8},
        {"split_branches": True},
        {"branch_parallel": True},
        {"sharded": True},
        {"bf16": True},
        {"attention": "native"},
        {"compiled": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_set_of_draws_or_precision_has_another_bank(key, change):
    assert key(build(), replace(CONFIG, **change)) != key(build())


def test_other_pairs_have_another_bank(key):
    names = {key(build()), key(build(), pairs=("a", "c")), key(build(), pairs=("b", "a"))}
    assert len({*names, key(build(), draws_per_pair=4)}) == 4


def test_another_release_has_another_bank(key, monkeypatch):
    before = key(build())
    monkeypatch.setattr(cache, "version", lambda name: "0")
    assert key(build()) != before


@pytest.mark.parametrize(
    "change",
    [{"beta": 1.0}, {"learning_rate": 1e-5}, {"steps": 7}, {"guard": "none"}, {"loss_types": ("ipo",)}],
    ids=lambda change: next(iter(change)),
)
def test_a_sweep_shares_its_bank(key, change):
    assert key(build(), replace(CONFIG, **change)) == key(build())


def test_what_is_trained_is_no_part_of_the_frozen_policy(key):
    moved = build()
    for value in trainable_state(moved).values():
        value.add_(1)
    assert key(moved) == key(build())


def test_an_earlier_adapter_and_its_scale_are_part_of_it():
    from peft import LoraConfig, inject_adapter_in_model

    def stacked(alpha):
        torch.manual_seed(0)
        model = AnyIDTransformer(**WAN)
        earlier = LoraConfig(r=2, lora_alpha=alpha, target_modules=["to_q"], init_lora_weights=True)
        inject_adapter_in_model(earlier, model, adapter_name="sft")
        add_adapter(model, rank=2, alpha=2, targets=("to_q",), seed=0)
        return frozen_sha256(model)

    assert len({stacked(2), stacked(4), frozen_sha256(build())}) == 3
    assert stacked(4) == stacked(4)
