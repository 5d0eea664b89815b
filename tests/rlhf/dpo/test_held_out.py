from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from rlhf.dpo.best import Best  # noqa: E402
from rlhf.dpo.config import FlowDPOConfig  # noqa: E402
from rlhf.dpo.held_out import (  # noqa: E402
    EXCESS,
    LOSS,
    HeldOut,
    empty_drift,
    excess_to_end,
    quartile_means,
    split_by_identity,
)
from rlhf.dpo.policy import FlowPolicy  # noqa: E402
from rlhf.objectives import interpolate  # noqa: E402
from rlhf.training.lora import add_adapter, frozen_policy, trainable_state  # noqa: E402

CPU = torch.device("cpu")
CONFIG = FlowDPOConfig(time_shift=1.0, batch_size=3, beta=20.0)


# --- who is held out
# -------------------------------------------------------------------------------------------------------


def test_no_person_is_on_both_sides():
    """Thirty people with one to five pairs each, mixed: a tenth of the people, not of the pairs."""
    identities = [f"person {n}" for n in range(30) for _ in range(1 + n % 5)][::-1]
    held = split_by_identity(identities, 0.1)
    watched = {name for name, flag in zip(identities, held, strict=True) if flag}
    trained = {name for name, flag in zip(identities, held, strict=True) if not flag}
    assert len(watched) == 3 and len(trained) == 27 and not watched & trained


def test_who_is_held_out_hangs_on_names_alone():
    few, many = [f"person {n}" for n in range(40)], [f"person {n}" for n in range(44)]
    before = {name for name, flag in zip(few, split_by_identity(few, 0.25), strict=True) if flag}
    after = {name for name, flag in zip(many, split_by_identity(many, 0.25), strict=True) if flag}
    assert len(before - after) <= 4  # four more people push out four at most
    assert split_by_identity(few[::-1], 0.25) == split_by_identity(few, 0.25)[::-1]


def test_few_people_are_all_trained_on():
    assert not any(split_by_identity(["a", "b", "b", "c"], 0.1))


# --- when it ends early
# -------------------------------------------------------------------------------------------------------


def looks(*values):
    """A line of metrics per step; None is a step without a look."""
    return [{"loss": 0.5} if value is None else {"loss": 0.5, EXCESS: value} for value in values]


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ((0.006, 0.007, 0.008), True),
        ((0.0, 0.006, None, 0.007, None, None, 0.0051), True),
        ((0.006, 0.007), False),
        ((0.006, 0.004, 0.007, 0.008), False),
        ((0.006, 0.007, 0.008, 0.0), False),
        ((-0.01, -0.02, -0.03), False),
        ((None,) * 5, False),
    ],
)
def test_it_ends_after_three_bad_looks_in_a_row(values, ends):
    reason = excess_to_end(looks(*values), 0.005)
    assert bool(reason) == ends
    if ends:
        assert "0.50%" in reason and reason.count("%") == 4


def test_the_best_look_is_the_lowest_loss_within_the_limit():
    model = torch.nn.Linear(1, 1, bias=False)
    best = Best(limit=0.005)
    for step, (excess, loss) in enumerate([(0.0, 0.69), (0.004, 0.6), (0.004, 0.65), (0.02, 0.3)], start=1):
        model.weight.data.fill_(step)
        best.update(model, {EXCESS: excess, LOSS: loss}, step)
    best.update(model, {"drift/empty": 0.0}, 5)  # a look at nobody
    best.restore(model)
    assert (best.step, model.weight.item()) == (2, 2.0)


def test_the_best_look_survives_its_file(tmp_path):
    model = torch.nn.Linear(1, 1, bias=False)
    first, second = Best(0.005), Best(0.005)
    first.save(tmp_path / "none")
    second.load(tmp_path / "none")
    assert not (tmp_path / "none").exists() and second.step == 0
    model.weight.data.fill_(0.1)
    first.update(model, {EXCESS: 0.0, LOSS: 0.1 + 0.2}, 3)
    first.save(tmp_path / "best")
    second.load(tmp_path / "best")
    model.weight.data.fill_(7.0)
    second.update(model, {EXCESS: 0.0, LOSS: 0.1 + 0.2}, 4)  # no better than the one from the file
    second.restore(model)
    assert second.step == 3 and model.weight.item() == torch.tensor(0.1).item()


# --- what is measured
# -------------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(transformer):
    add_adapter(transformer, rank=2, alpha=4, targets=("to_q", "to_k", "to_v", "to_out.0"), seed=0)
    return FlowPolicy(transformer)


def move(policy, by=0.3):
    generator = torch.Generator().manual_seed(9)
    for value in trainable_state(policy).values():
        value.add_(by * torch.randn(value.shape, generator=generator))


def test_quarters_add_up_to_the_whole():
    generator = torch.Generator().manual_seed(2)
    value, quantile = torch.randn(200, generator=generator), torch.rand(200, generator=generator)
    means = quartile_means({"x": value}, quantile)
    counts = torch.bincount((4 * quantile).long(), minlength=4)
    whole = sum(means[f"x/quartile_{k + 1}"] * counts[k].item() for k in range(4)) / 200
    assert whole == pytest.approx(value.mean().item(), abs=1e-6)
    assert list(quartile_means({"x": value[:1]}, torch.tensor([0.6]))) == ["x/quartile_3"]


def test_each_held_out_pair_is_looked_at_once_in_every_quarter(pairs):
    held_out = HeldOut(pairs, CONFIG)
    met = {(int(one["entry"]) % 5, int(4 * one["quantile"])) for one in held_out.draws}
    assert len(held_out.draws) == len(met) == 20


def test_a_look_is_the_same_whenever_it_is_made(policy, pairs):
    held_out = HeldOut(pairs, CONFIG)
    move(policy)
    before = {name: value.clone() for name, value in trainable_state(policy).items()}
    figures = held_out.figures(policy, CPU)
    assert held_out.figures(policy, CPU) == figures
    assert all(torch.equal(value, before[name]) for name, value in trainable_state(policy).items())
    assert HeldOut(pairs, replace(CONFIG, seed=8)).figures(policy, CPU) == figures


def test_a_look_says_what_its_draws_say(policy, pairs):
    held_out = HeldOut(pairs, CONFIG)
    move(policy)
    figures = held_out.figures(policy, CPU)
    draws = [held_out.draws[place] for place in range(20)]
    with torch.no_grad():
        errors, _ = policy(draws)
        with frozen_policy(policy):
            ref, _ = policy(draws)
    assert figures[EXCESS] == pytest.approx((errors[0].sum() / ref[0].sum() - 1).item(), abs=1e-5)
    assert figures["held_out/drift/rejected"] == pytest.approx((errors[1] - ref[1]).mean().item(), abs=1e-5)
    margin = 20 * ((ref - errors)[0] - (ref - errors)[1])
    assert figures[LOSS] == pytest.approx(-torch.nn.functional.logsigmoid(margin).mean().item(), abs=1e-4)
    assert figures["held_out/rewards/accuracies"] == pytest.approx((margin > 0).float().mean().item())
    quarters = [figures[f"held_out/drift/chosen/quartile_{k}"] for k in (1, 2, 3, 4)]
    assert sum(quarters) / 4 == pytest.approx(figures["held_out/drift/chosen"], abs=1e-6)


def test_nothing_held_out_gives_no_figures(policy):
    assert HeldOut([], CONFIG).figures(policy, CPU) == {}


def test_drift_without_a_condition_is_how_far_that_velocity_moved(policy, pairs):
    probes = [HeldOut(pairs, CONFIG).draws[place] for place in range(3)]
    assert empty_drift(policy, probes) == 0.0
    move(policy)

    def velocity(one):
        noisy = interpolate(one["clean"][:1], one["noise"][None], one["time"][None])
        return policy.predict(noisy, one["time"][None], one["prompt_embeds"][None], one["references"][None])

    with torch.no_grad():
        after = torch.cat([velocity(one) for one in probes])
        with frozen_policy(policy):
            before = torch.cat([velocity(one) for one in probes])
        expected = (after - before).square().mean().item()
        found = HeldOut([], CONFIG, probes=probes).figures(policy, CPU)
    assert found == {"drift/empty": pytest.approx(expected, rel=1e-5)}
    assert expected > 1e-4
