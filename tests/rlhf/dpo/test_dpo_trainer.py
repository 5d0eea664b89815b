import hashlib
import math
import socket
from typing import get_args

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

from torch.nn.functional import logsigmoid, relu  # noqa: E402

from generator.rundir import RunError  # noqa: E402
from rlhf.dpo.config import SMOOTHED, FlowDPOConfig, LossType  # noqa: E402
from rlhf.dpo.policy import FlowPolicy  # noqa: E402
from rlhf.dpo.trainer import FlowDPOTrainer  # noqa: E402
from rlhf.objectives import flow_dpo_loss, implicit_rewards  # noqa: E402
from rlhf.training.lora import add_adapter, frozen_policy, lora_layers, trainable_state  # noqa: E402
from rlhf.training.trainer import last_checkpoint  # noqa: E402


def adapter_bytes(trainer):
    state = trainable_state(trainer.policy)
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


def frozen_bytes(trainer):
    frozen = {n: p for n, p in trainer.policy.named_parameters() if not p.requires_grad}
    return hashlib.sha256(b"".join(frozen[n].detach().numpy().tobytes() for n in sorted(frozen))).hexdigest()


# --- the loss
# -------------------------------------------------------------------------------------------------------


def test_its_loss_is_the_readable_definition(make_trainer):
    """In float64 the two agree to the last bits, value and gradient."""
    trainer = make_trainer()
    generator = torch.Generator().manual_seed(3)
    ref = torch.rand(2, 9, generator=generator, dtype=torch.float64)
    policy = (ref + 0.1 * torch.randn(2, 9, generator=generator, dtype=torch.float64)).requires_grad_()
    ours = flow_dpo_loss(policy, ref, beta=20.0)
    theirs = trainer.preference_loss(policy, ref)
    assert theirs.item() == pytest.approx(ours.item(), abs=1e-15)
    (our_gradient,) = torch.autograd.grad(ours, policy)
    (their_gradient,) = torch.autograd.grad(theirs, policy)
    torch.testing.assert_close(their_gradient, our_gradient, rtol=0, atol=1e-15)


def expected_loss(name, c, r, beta, smoothing, policy_chosen, gaps):
    """Each loss of trl 1.16 for completions of one token; c and r are ref - policy errors, without beta."""
    d, s = beta * (c - r), torch.sigmoid
    sorted_gaps = torch.sort(gaps[0]).values - torch.sort(gaps[1]).values
    sorted_branches = torch.sort(c).values - torch.sort(r).values
    smooth = lambda x: -(1 - smoothing) * logsigmoid(x) - smoothing * logsigmoid(-x)  # noqa: E731
    return {
        "sigmoid": lambda: -logsigmoid(d),
        "sigmoid_norm": lambda: -logsigmoid(d),
        "hinge": lambda: relu(1 - d),
        "ipo": lambda: (c - r - 1 / (2 * beta)) ** 2,
        "exo_pair": lambda: (
            s(d) * (logsigmoid(d) - math.log1p(-smoothing)) + s(-d) * (logsigmoid(-d) - math.log(smoothing))
        ),
        "nca_pair": lambda: -logsigmoid(beta * c) - 0.5 * logsigmoid(-beta * c) - 0.5 * logsigmoid(-beta * r),
        "robust": lambda: (
            (-(1 - smoothing) * logsigmoid(d) + smoothing * logsigmoid(-d)) / (1 - 2 * smoothing)
        ),
        "bco_pair": lambda: -logsigmoid(beta * c) - logsigmoid(-beta * r),
        "sppo_hard": lambda: (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2,
        "aot": lambda: smooth(beta * sorted_gaps),
        "aot_unpaired": lambda: smooth(beta * sorted_branches),
        "apo_zero": lambda: 1 - s(beta * c) + s(beta * r),
        "apo_down": lambda: s(beta * c) + 1 - s(d),
        "discopop": lambda: -logsigmoid(d) * (1 - s(d / 0.05)) + torch.exp(-d) * s(d / 0.05),
        "sft": lambda: policy_chosen,
    }[name]().mean()


@pytest.mark.parametrize("name", get_args(LossType))
def test_every_loss_of_trl_means_what_we_say(make_trainer, name):
    """The contract with the pinned trl: a new version that changes a loss fails here."""
    smoothing = 0.1 if name in SMOOTHED else 0.0
    trainer = make_trainer(loss_types=(name,), label_smoothing=smoothing, steps=1)
    generator = torch.Generator().manual_seed(4)
    ref = torch.rand(2, 6, generator=generator, dtype=torch.float64)
    policy = ref + 0.05 * torch.randn(2, 6, generator=generator, dtype=torch.float64)
    chosen, rejected = ref - policy
    gaps = (policy[1] - policy[0], ref[1] - ref[0])
    expected = expected_loss(name, chosen, rejected, 20.0, smoothing, policy[0], gaps)
    assert trainer.preference_loss(policy, ref).item() == pytest.approx(expected.item(), abs=1e-6)


def test_losses_add_up_with_their_weights(make_trainer):
    trainer = make_trainer(loss_types=("sigmoid", "sft"), loss_weights=(1.0, 0.05), steps=1)
    ref, policy = torch.rand(2, 4, dtype=torch.float64), torch.rand(2, 4, dtype=torch.float64)
    expected = flow_dpo_loss(policy, ref, beta=20.0) + 0.05 * policy[0].mean()
    assert trainer.preference_loss(policy, ref).item() == pytest.approx(expected.item(), abs=1e-12)


# --- the pair
# -------------------------------------------------------------------------------------------------------


def draws_of(trainer, number=5):
    return [trainer.train_dataset[index] for index in range(number)]


def test_both_policies_agree_bit_for_bit_at_the_start(make_trainer):
    trainer = make_trainer()
    draws = draws_of(trainer)
    with frozen_policy(trainer.policy):
        ref, _ = trainer.policy(draws)
    policy, _ = trainer.policy(draws)
    assert torch.equal(policy, ref)
    assert trainer.preference_loss(policy, ref).item() == pytest.approx(math.log(2), abs=1e-7)


def test_swapping_chosen_and_rejected_swaps_the_errors(make_trainer):
    trainer = make_trainer()
    draws = draws_of(trainer)
    swapped = [{**one, "clean": one["clean"].flip(0)} for one in draws]
    torch.testing.assert_close(trainer.policy(swapped)[0], trainer.policy(draws)[0].flip(0))


def test_identical_branches_give_no_gradient(make_trainer):
    trainer = make_trainer(guard="none")
    draws = [{**one, "clean": one["clean"][:1].expand(2, -1, -1, -1, -1)} for one in draws_of(trainer)]
    errors, _ = trainer.policy(draws)
    trainer.preference_loss(errors, errors.detach()).backward()
    for parameter in trainable_state(trainer.policy):
        gradient = trainer.policy.get_parameter(parameter).grad
        assert gradient is None or gradient.abs().max() < 1e-6


def test_a_batch_gives_the_errors_of_its_pairs(make_trainer):
    """Pairs with one, two and three reference latents in one batch, in the order of the batch."""
    trainer = make_trainer()
    draws = draws_of(trainer)
    together, _ = trainer.policy(draws)
    alone = torch.cat([trainer.policy([one])[0] for one in draws], dim=1)
    torch.testing.assert_close(together, alone)


def test_the_loss_ignores_what_is_predicted_for_references(transformer, pairs, make_trainer):
    """References steer the target, but no error is taken on their frames: the prediction has none."""
    draws = draws_of(make_trainer())
    errors, _ = FlowPolicy(transformer)(draws)
    moved = [{**one, "references": one["references"] + 1} for one in draws]
    assert not torch.equal(FlowPolicy(transformer)(moved)[0], errors)
    longer = [{**one, "references": one["references"].repeat(1, 2, 1, 1)} for one in draws]
    assert FlowPolicy(transformer)(longer)[0].shape == errors.shape


def test_the_guard_changes_gradients_and_never_values(make_trainer):
    guarded, plain = make_trainer(), make_trainer(guard="none")
    draws = draws_of(guarded)
    errors, scale = guarded.policy(draws)
    reference, ones = plain.policy(draws)
    assert torch.equal(errors, reference)
    assert (ones == 1).all() and (scale <= 1).all() and (scale < 1).any()
    for each, trainer in ((errors, guarded), (reference, plain)):
        trainer.preference_loss(each, each.detach()).backward()
    names = list(trainable_state(plain.policy))
    assert any(
        not torch.equal(guarded.policy.get_parameter(n).grad, plain.policy.get_parameter(n).grad)
        for n in names
    )


# --- the run
# --------------------------------------------------------------------------------------------------------


def test_it_learns_the_preference(make_trainer):
    trainer = make_trainer(steps=40, learning_rate=3e-2)
    trainer.train()
    first, last = trainer.lines[0], trainer.lines[-5:]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert sum(line["loss"] for line in last) / 5 < 0.6
    assert sum(line["rewards/accuracies"] for line in last) / 5 > 0.8
    assert [line["step"] for line in trainer.lines] == list(range(1, 41))
    assert {"rewards/margins", "errors/chosen", "drift/chosen", "guard/scale", "grad_norm"} < set(first)
    assert not {"entropy", "num_tokens", "logits/chosen", "mean_token_accuracy"} & set(first)


def test_it_trains_nothing_but_the_new_adapter(make_trainer):
    trainer = make_trainer()
    before = frozen_bytes(trainer)
    trainer.train()
    assert frozen_bytes(trainer) == before
    assert all(".trained." in name for name in trainable_state(trainer.policy))


def test_an_earlier_adapter_stays_frozen_and_active(transformer, pairs, tmp_path):
    """The warning of peft's own toggles: they make the frozen adapter trainable again."""
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=2, target_modules=["to_q", "to_v"]), transformer, adapter_name="sft")
    for layer in lora_layers(transformer):
        torch.nn.init.normal_(layer.lora_B["sft"].weight, generator=torch.Generator().manual_seed(5))
    config = FlowDPOConfig(steps=6, batch_size=3, learning_rate=1e-2, targets=("to_q", "to_v"))
    add_adapter(transformer, rank=2, alpha=2, targets=config.targets, seed=0)
    policy = FlowPolicy(transformer)
    trainer = FlowDPOTrainer(policy, config, pairs, tmp_path / "run", on_step=lambda line: None)
    draws = draws_of(trainer)
    before, _ = policy(draws)
    frozen = frozen_bytes(trainer)
    trainer.train()
    assert frozen_bytes(trainer) == frozen
    with frozen_policy(policy):
        assert torch.equal(policy(draws)[0], before)
    assert not torch.equal(policy(draws)[0], before)


def test_it_refuses_a_second_adapter_of_its_name(transformer):
    add_adapter(transformer, rank=2, alpha=2, targets=("to_q",), seed=0)
    with pytest.raises(ValueError, match="already"):
        add_adapter(transformer, rank=2, alpha=2, targets=("to_q",), seed=0)


@pytest.mark.parametrize("killed_at", [2, 4])
def test_a_resumed_run_ends_with_the_same_bits(make_trainer, killed_at):
    whole = make_trainer("whole")
    whole.train()
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == killed_at

    make_trainer("parts", callbacks=[Stop()]).train()
    rest = make_trainer("parts")
    checkpoint = last_checkpoint(rest.folder)
    assert checkpoint.name == f"checkpoint-{killed_at}"
    rest.train(resume_from_checkpoint=str(checkpoint))
    assert adapter_bytes(rest) == adapter_bytes(whole)
    assert [line["loss"] for line in rest.lines] == [line["loss"] for line in whole.lines[killed_at:]]


def test_it_never_resumes_a_torn_checkpoint(make_trainer):
    trainer = make_trainer()
    trainer.train()
    (trainer.folder / "checkpoint-6" / "complete").unlink()
    assert last_checkpoint(trainer.folder).name == "checkpoint-4"


def test_it_runs_without_network_and_outside_ci(make_trainer, monkeypatch):
    def blocked(*args, **kwargs):
        raise AssertionError("the trainer opened a connection")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(socket.socket, "connect", blocked)
    make_trainer(steps=2).train()


def test_it_stops_at_a_loss_that_is_not_a_number(make_trainer, pairs):
    broken = [{**pair, "clean": pair["clean"] * math.nan} for pair in pairs]
    with pytest.raises(RunError, match="the loss is nan"):
        make_trainer(data=broken).train()


def test_its_rewards_are_those_of_the_definition(make_trainer):
    trainer = make_trainer(steps=1)
    draws = [trainer.train_dataset[index] for index in range(3)]
    trainer.train()
    with frozen_policy(trainer.policy):
        ref, _ = trainer.policy(draws)
    rewards = implicit_rewards(ref, ref, beta=20.0)
    assert trainer.lines[0]["rewards/margins"] == pytest.approx(torch.sub(*rewards).mean().item())
