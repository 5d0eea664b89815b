import math

import pytest

torch = pytest.importorskip("torch")

from rlhf.objectives import (  # noqa: E402
    draw_times,
    flow_dpo_loss,
    flow_error,
    flow_velocity,
    guard_scale,
    implicit_rewards,
    interpolate,
    scale_gradient,
    sft_loss,
)

SHAPE = (3, 4, 2, 5, 5)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_it_walks_from_clean_to_noise(rng):
    clean, noise = torch.randn(SHAPE, generator=rng), torch.randn(SHAPE, generator=rng)
    assert torch.equal(interpolate(clean, noise, torch.zeros(3)), clean)
    assert torch.equal(interpolate(clean, noise, torch.ones(3)), noise)


def test_its_velocity_is_the_derivative_of_the_line(rng):
    clean, noise = (torch.randn(SHAPE, generator=rng, dtype=torch.float64) for _ in range(2))
    time = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    step = (interpolate(clean, noise, time + 1e-6) - interpolate(clean, noise, time - 1e-6)) / 2e-6
    torch.testing.assert_close(step, flow_velocity(clean, noise), rtol=0, atol=1e-8)


def test_each_sample_has_its_own_time(rng):
    clean, noise = torch.randn(SHAPE, generator=rng), torch.randn(SHAPE, generator=rng)
    time = torch.tensor([0.2, 0.5, 0.9])
    noisy = interpolate(clean, noise, time)
    for index in range(3):
        torch.testing.assert_close(
            noisy[index], (1 - time[index]) * clean[index] + time[index] * noise[index]
        )


def test_its_error_is_a_mean_in_float32():
    """(3 - 1)^2 = 4 everywhere: the mean is 4 whatever the size, in float32 though the input is bfloat16."""
    prediction = torch.full(SHAPE, 3.0, dtype=torch.bfloat16)
    velocity = torch.ones(SHAPE, dtype=torch.bfloat16)
    error = flow_error(prediction, velocity)
    assert error.dtype == torch.float32
    assert error.tolist() == [4.0, 4.0, 4.0]
    assert sft_loss(prediction, velocity) == 4.0


def test_it_refuses_to_broadcast():
    with pytest.raises(ValueError, match="differ"):
        flow_error(torch.zeros(2, 4, 3, 2, 2), torch.zeros(2, 4, 1, 2, 2))


def test_the_loss_is_ln_2_where_the_policies_agree():
    error = torch.rand(2, 7)
    assert flow_dpo_loss(error, error, beta=1000.0).item() == pytest.approx(math.log(2), abs=1e-7)


def test_the_loss_equals_a_number_worked_out_by_hand():
    """Chosen fell by 0.002 and rejected rose by 0.001: beta * 0.003 = 3, so the loss is ln(1 + e^-3)."""
    policy = torch.tensor([[0.098], [0.201]], dtype=torch.float64)
    ref = torch.tensor([[0.100], [0.200]], dtype=torch.float64)
    assert flow_dpo_loss(policy, ref, beta=1000.0).item() == pytest.approx(
        math.log1p(math.exp(-3)), abs=1e-12
    )
    rewards = implicit_rewards(policy, ref, beta=1000.0)
    torch.testing.assert_close(rewards, torch.tensor([[2.0], [-1.0]], dtype=torch.float64))


def test_swapping_the_branches_negates_the_margin():
    policy, ref = torch.rand(2, 5), torch.rand(2, 5)
    margin = torch.sub(*implicit_rewards(policy, ref, beta=10.0))
    swapped = torch.sub(*implicit_rewards(policy.flip(0), ref.flip(0), beta=10.0))
    torch.testing.assert_close(swapped, -margin)


def test_its_gradient_pushes_chosen_down_and_rejected_up():
    """dL/d(policy error) is beta * sigmoid(-margin) / B, here 100 * 0.5 / 4, and minus that for rejected."""
    error = torch.rand(2, 4, dtype=torch.float64)
    policy = error.clone().requires_grad_()
    flow_dpo_loss(policy, error, beta=100.0).backward()
    expected = torch.tensor([[100 * 0.5 / 4], [-100 * 0.5 / 4]], dtype=torch.float64).expand(2, 4)
    torch.testing.assert_close(policy.grad, expected)


@pytest.mark.parametrize(("shape", "beta"), [((3, 4), 1.0), ((2,), 1.0), ((2, 4), 0.0), ((2, 4), -1.0)])
def test_it_refuses_what_has_no_meaning(shape, beta):
    with pytest.raises(ValueError, match="errors have shapes|beta is"):
        flow_dpo_loss(torch.zeros(shape), torch.zeros(shape), beta=beta)


@pytest.mark.parametrize("mu", [0.0, 0.6, 1.0])
def test_the_guard_keeps_its_promise_in_output_space(rng, mu):
    """<r_c, scale * r_r - r_c> <= -mu * |r_c|^2 for any residuals, also nearly parallel ones."""
    chosen = torch.randn(64, 10, generator=rng, dtype=torch.float64)
    rejected = (
        torch.randn(64, 10, generator=rng, dtype=torch.float64)
        + 3 * chosen * torch.linspace(0, 1, 64)[:, None]
    )
    scale = guard_scale(chosen, rejected, mu=mu)
    assert ((scale >= 0) & (scale <= 1)).all()
    progress = (chosen * (scale[:, None] * rejected - chosen)).sum(1)
    assert (progress <= -mu * chosen.square().sum(1) + 1e-9).all()


def test_the_guard_leaves_opposed_residuals_alone():
    residual = torch.ones(2, 3)
    assert guard_scale(residual, -residual, mu=0.6).tolist() == [1.0, 1.0]
    assert guard_scale(residual, residual, mu=0.6).tolist() == pytest.approx([0.4, 0.4])


def test_scaling_a_gradient_keeps_the_value():
    value = torch.tensor([2.0, 3.0], requires_grad=True)
    scaled = scale_gradient(value * 1.0, torch.tensor([0.5, 0.0]))
    scaled.sum().backward()
    assert scaled.tolist() == [2.0, 3.0]
    assert value.grad.tolist() == [0.5, 0.0]


def test_its_times_follow_the_stated_distribution():
    """The median is 0.5 shifted: 3 * 0.5 / (1 + 2 * 0.5) = 0.75. Order is kept, ends are clamped."""
    quantile = torch.linspace(1e-4, 1 - 1e-4, 101, dtype=torch.float64)
    times = draw_times(quantile, shift=3.0, low=0.1, high=0.98)
    assert times[50].item() == pytest.approx(0.75)
    assert (times.diff() >= 0).all()
    assert (times[0].item(), times[-1].item()) == pytest.approx((0.1, 0.98))
