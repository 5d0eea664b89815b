import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import logsigmoid  # noqa: E402

from rlhf.dpo.run import posterior_weights  # noqa: E402
from rlhf.objectives import flow_dpo_loss, time_weight  # noqa: E402
from rlhf.training.lora import trainable_state  # noqa: E402


def gradients(trainer, draws):
    """The loss of some draws and the gradient of every trained weight, as a training step makes them."""
    loss = trainer.compute_loss(trainer.policy, {"draws": draws})
    trainer.policy.zero_grad()
    loss.backward()
    return loss.item(), {n: trainer.policy.get_parameter(n).grad for n in trainable_state(trainer.policy)}


def move(trainer, by=0.3):
    generator = torch.Generator().manual_seed(9)
    for value in trainable_state(trainer.policy).values():
        value.add_(by * torch.randn(value.shape, generator=generator))


def draws_of(trainer, number=5):
    return [trainer.train_dataset[index] for index in range(number)]


@pytest.mark.parametrize("guard", ["sdpo", "none"])
def test_one_branch_at_a_time_gives_the_gradient_of_both(make_trainer, guard):
    found = []
    for split in (False, True):
        trainer = make_trainer(split_branches=split, guard=guard)
        move(trainer)
        found.append(gradients(trainer, draws_of(trainer)))
    (joint_loss, joint), (split_loss, split) = found
    assert split_loss == pytest.approx(joint_loss, abs=1e-6)
    assert max(gradient.abs().max() for gradient in joint.values()) > 1e-2
    for name, gradient in joint.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-5, atol=1e-6)


def test_one_branch_at_a_time_keeps_the_activations_of_one(make_trainer):
    """Bytes that autograd holds for the backward pass, told by its own hooks."""
    held = []
    for split in (False, True):
        trainer = make_trainer(split_branches=split)
        kept = []

        def pack(tensor, kept=kept):
            kept.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            trainer.policy(draws_of(trainer))
        held.append(sum(kept))
    assert held[1] < 0.75 * held[0]


def test_identical_branches_give_a_gradient_of_exactly_nothing(make_trainer):
    """One branch at a time, both run the same shapes: what one adds, the other takes away to the last bit."""
    trainer = make_trainer(guard="none", split_branches=True)
    draws = [{**one, "clean": one["clean"][:1].expand(2, -1, -1, -1, -1)} for one in draws_of(trainer)]
    _, found = gradients(trainer, draws)
    assert all((gradient == 0).all() for gradient in found.values())
    _, other = gradients(trainer, draws_of(trainer))
    assert max(gradient.abs().max() for gradient in other.values()) > 1e-2


def test_swapping_the_branches_negates_the_margin_of_a_step(make_trainer):
    margins = []
    for flip in (False, True):
        trainer = make_trainer(guard="none")
        move(trainer)
        draws = draws_of(trainer)
        draws = [{**one, "clean": one["clean"].flip(0)} for one in draws] if flip else draws
        trainer.compute_loss(trainer.policy, {"draws": draws})
        margins.append(trainer._metrics["train"]["rewards/margins"][0])
    assert margins[1] == pytest.approx(-margins[0], abs=1e-4)
    assert abs(margins[0]) > 1e-2


def test_the_loss_of_late_times_fades_where_it_is_asked_for(make_trainer):
    """beta (1 - t)^2, against the definition pair by pair."""
    trainer = make_trainer(beta_schedule="one_minus_t_sq", guard="none")
    draws = draws_of(trainer)
    with torch.no_grad():
        ref, _ = trainer.policy(draws)
        move(trainer)
        policy, _ = trainer.policy(draws)
    expected = torch.stack(
        [
            flow_dpo_loss(policy[:, [k]], ref[:, [k]], beta=20.0 * (1 - one["time"].item()) ** 2)
            for k, one in enumerate(draws)
        ]
    ).mean()
    assert trainer.compute_loss(trainer.policy, {"draws": draws}).item() == pytest.approx(
        expected.item(), abs=1e-5
    )
    constant = make_trainer(guard="none")
    move(constant)
    assert abs(constant.compute_loss(constant.policy, {"draws": draws}).item() - expected.item()) > 1e-3


def test_time_weights_are_those_of_their_formulas():
    time = torch.tensor([0.0, 0.25, 1.0])
    assert time_weight(time, "constant").tolist() == [1, 1, 1]
    assert time_weight(time, "one_minus_t_sq").tolist() == [1, 0.5625, 0]
    with pytest.raises(ValueError, match="'linear'; it must be constant or one_minus_t_sq"):
        time_weight(time, "linear")


def test_a_pairs_weight_scales_its_gradient_and_not_the_loss(make_trainer):
    """With one pair a batch, gradients add up: the weighted one is the sum of each times its weight."""
    weights = [0.5, 2.0, 1.0, 0.0, 1.5]
    plain, weighted = make_trainer(guard="none"), make_trainer(guard="none", pair_weights=weights)
    move(plain), move(weighted)
    draws, same = draws_of(plain), draws_of(weighted)
    loss, _ = gradients(plain, draws)
    weighted_loss, found = gradients(weighted, same)
    assert weighted_loss == pytest.approx(loss, abs=1e-6)
    expected = {name: torch.zeros_like(value) for name, value in found.items()}
    for one in draws:
        pair = int(one["entry"]) % 5
        for name, gradient in gradients(plain, [one])[1].items():
            expected[name] += weights[pair] * gradient / 5
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


def test_the_anchor_pulls_the_chosen_error_down(make_trainer):
    """("sigmoid", "sft"): the gradient of Flow-DPO plus the weighted one of the chosen error."""
    options = {"guard": "none"}
    anchored = make_trainer(loss_types=("sigmoid", "sft"), loss_weights=(1.0, 0.05), **options)
    plain = make_trainer(**options)
    move(anchored), move(plain)
    _, found = gradients(anchored, draws_of(anchored))
    _, expected = gradients(plain, draws_of(plain))
    plain.policy.zero_grad()
    plain.policy(draws_of(plain))[0][0].mean().backward()
    for name, gradient in found.items():
        anchor = plain.policy.get_parameter(name).grad
        torch.testing.assert_close(gradient, expected[name] + 0.05 * anchor, rtol=1e-4, atol=1e-6)


def test_the_robust_loss_is_unbiased_under_flipped_votes(make_trainer):
    """Its mean over votes of which a share is flipped is the plain loss of the true ones."""
    share = 0.2
    trainer = make_trainer(loss_types=("robust",), label_smoothing=share, steps=1)
    generator = torch.Generator().manual_seed(4)
    ref = torch.rand(2, 7, generator=generator, dtype=torch.float64)
    policy = ref + 0.05 * torch.randn(2, 7, generator=generator, dtype=torch.float64)
    right = trainer.preference_loss(policy, ref)
    flipped = trainer.preference_loss(policy.flip(0), ref.flip(0))
    margin = 20 * ((ref - policy)[0] - (ref - policy)[1])
    expected = -logsigmoid(margin).mean()
    assert ((1 - share) * right + share * flipped).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_guard_lets_the_chosen_error_fall(make_trainer):
    """A small step of plain descent on pairs whose residuals agree: without the guard the error rises."""

    def fall(guard):
        trainer = make_trainer(guard=guard, guard_mu=0.6)
        generator = torch.Generator().manual_seed(2)
        draws = draws_of(trainer)
        for one in draws:
            near = one["clean"][0] + 0.3 * torch.randn(one["noise"].shape, generator=generator)
            one["clean"] = torch.stack([one["clean"][0], near])
        before = trainer.policy(draws)[0].detach()[0].mean()
        _, found = gradients(trainer, draws)
        for name, value in trainable_state(trainer.policy).items():
            value.sub_(1e-3 * found[name])
        return (trainer.policy(draws)[0].detach()[0].mean() - before).item()

    assert fall("sdpo") < 0
    assert fall("sdpo") < fall("none")


def test_sureness_is_the_product_of_the_tracks_that_prefer(export_folder):
    from dataclasses import replace

    from rlhf.export.freezing import read_export
    from rlhf.export.row import TrackVotes
    from rlhf.records import Track, Verdict

    def votes(verdict, sure):
        rest = dict.fromkeys((Verdict.FIRST, Verdict.SECOND, Verdict.TIE, Verdict.BOTH_BAD), (1 - sure) / 3)
        return TrackVotes(verdict, {**rest, verdict: sure}, dict.fromkeys(Verdict, 0))

    row = next(read_export(export_folder).rows())
    votes_of_rows = [
        (votes(Verdict.FIRST, 0.8), votes(Verdict.FIRST, 0.5)),
        (votes(Verdict.SECOND, 0.6), votes(Verdict.TIE, 0.9)),
        (votes(Verdict.FIRST, 0.5), votes(Verdict.UNSURE, 0.0)),
    ]
    rows = [replace(row, tracks=dict(zip(Track, both, strict=True))) for both in votes_of_rows]
    weights = posterior_weights(rows)
    assert weights == pytest.approx([0.8, 1.2, 1.0])
