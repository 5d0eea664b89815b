"""However a run computes, it is the same run."""

import math
from typing import get_args

import pytest

torch = pytest.importorskip("torch")

from generator.model import kernels  # noqa: E402
from generator.model.transformer import AnyIDTransformer  # noqa: E402
from rlhf.dpo.config import FlowDPOConfig  # noqa: E402
from rlhf.dpo.policy import FlowPolicy  # noqa: E402
from rlhf.dpo.reference import identify, open_bank  # noqa: E402
from rlhf.dpo.trainer import FlowDPOTrainer  # noqa: E402
from rlhf.training.config import Kept  # noqa: E402
from rlhf.training.lora import add_adapter, trainable_state  # noqa: E402
from rlhf.training.precision import set_up, to_bfloat16  # noqa: E402

WAN = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


@pytest.fixture
def make(pairs, tmp_path):
    """A trainer on two layers of Wan, computing as asked."""

    def make(folder="run", with_bank=False, data=pairs, **overrides):
        fixed = {"steps": 2, "batch_size": 3, "rank": 2, "alpha": 4, "time_shift": 1.0, "beta": 20.0}
        config = FlowDPOConfig(**{**fixed, **overrides})
        torch.manual_seed(0)
        model = AnyIDTransformer(**WAN)
        if config.bf16:
            to_bfloat16(model)
        add_adapter(model, rank=2, alpha=4, targets=config.targets, seed=0)
        set_up(model, config)
        policy = FlowPolicy(model, guard_mu=0.6, split_branches=config.split_branches)
        bank = None
        if with_bank:
            keys = [str(number) for number in range(5)]
            bank = open_bank(tmp_path / "bank", config, identify(policy), keys, config.draws_per_pair)
        lines = []
        trainer = FlowDPOTrainer(policy, config, data, tmp_path / folder, on_step=lines.append, bank=bank)
        trainer.lines = lines
        return trainer

    return make


def move(trainer):
    generator = torch.Generator().manual_seed(9)
    for value in trainable_state(trainer.policy).values():
        value.add_(0.1 * torch.randn(value.shape, generator=generator))


def gradients(trainer):
    draws = [trainer.train_dataset[index] for index in range(5)]
    loss = trainer.compute_loss(trainer.policy, {"draws": draws})
    loss.backward()
    names = trainable_state(trainer.policy)
    return loss.item(), {name: trainer.policy.get_parameter(name).grad for name in names}


@pytest.mark.parametrize("kept", get_args(Kept))
@pytest.mark.parametrize("split_branches", [False, True])
def test_recomputed_activations_change_nothing(make, kept, split_branches):
    plain = make()
    other = make(gradient_checkpointing=True, kept_activations=kept, split_branches=split_branches)
    move(plain), move(other)
    loss, expected = gradients(plain)
    found_loss, found = gradients(other)
    assert found_loss == pytest.approx(loss, abs=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_compiled_blocks_change_nothing(make, pairs, monkeypatch):
    """Captured whole and run as it stands, not turned into machine code: that would take minutes here."""
    compile_blocks = kernels.compile_blocks
    monkeypatch.setattr(
        "rlhf.training.precision.compile_blocks", lambda model: compile_blocks(model, backend="eager")
    )
    losses = []
    for folder, compiled in (("plain", False), ("compiled", True)):
        trainer = make(
            folder, data=pairs[:1], compiled=compiled, learning_rate=0.3, warmup_steps=0, batch_size=2
        )
        trainer.train()
        losses.append([line["loss"] for line in trainer.lines])
    torch._dynamo.reset()
    assert losses[1][0] == torch.tensor(math.log(2)).item()
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert abs(losses[0][1] - losses[0][0]) > 1e-3


@pytest.mark.parametrize("with_bank", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"bf16": True},
        {
            "bf16": True,
            "gradient_checkpointing": True,
            "kept_activations": "products",
            "split_branches": True,
        },
    ],
    ids=["float32", "bfloat16", "checkpointed"],
)
def test_the_first_loss_is_ln_2_to_the_last_bit(make, how, with_bank):
    """Policy and frozen policy run the same code, so that they agree exactly while B is 0."""
    trainer = make(with_bank=with_bank, steps=1, **how)
    trainer.train()
    assert trainer.lines[0]["loss"] == torch.tensor(math.log(2), dtype=torch.float32).item()
    assert trainer.lines[0]["drift/chosen"] == trainer.lines[0]["drift/rejected"] == 0


def test_adapters_multiply_in_bfloat16_and_the_time_is_embedded_in_float32(make):
    trainer = make(bf16=True)
    model, met = trainer.policy.transformer, {}
    watched = {
        "adapter": model.blocks[0].attn1.to_q.lora_A["trained"],
        "time": model.condition_embedder.time_embedder,
        "product": model.blocks[0].attn1.to_q.base_layer,
    }
    for name, module in watched.items():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: met.update({name: {inputs[0].dtype, output.dtype}})
        )
    _, found = gradients(trainer)
    assert met == {
        "adapter": {torch.bfloat16},
        "product": {torch.bfloat16},
        "time": {torch.float32},
    }
    masters = trainable_state(trainer.policy).values()
    assert {value.dtype for value in (*masters, *found.values())} == {torch.float32}


@pytest.mark.parametrize("name", ["native", "_native_math"])
def test_the_attention_has_a_backward_pass(make, name):
    trainer = make(attention=name)
    move(trainer)
    _, found = gradients(trainer)
    for layer in ("to_q", "to_k", "to_v"):
        gradient = found[f"transformer.blocks.0.attn1.{layer}.lora_A.trained.weight"]
        assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_an_attention_that_cannot_train_is_refused_before_the_run(make):
    with pytest.raises(ValueError, match="'sage' has no backward pass"):
        make(attention="sage")
