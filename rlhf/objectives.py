"""The mathematics of training: flow matching, and preference by Flow-DPO.

Conventions, stated here once and kept everywhere:

    noisy    = (1 - t) * clean + t * noise      t in [0, 1]; t = 0 is clean, t = 1 is noise
    velocity = noise - clean                    d noisy / d t, what the model predicts

The AnyID paper writes the target as z0 - eps: the same line walked the other way. Wan predicts noise - clean.
Latents are (B, C, F, H, W). Errors are *means* over C, F, H, W of the target frames (never of the references)
in float32 or wider; sums would make beta depend on the size of the video.

`ref_` marks the frozen policy of DPO. A reference image or clip of a person is always spelled in full.

Sources: rectified flow, arXiv 2209.03003; logit-normal times and shift, arXiv 2403.03206; Diffusion-DPO,
arXiv 2311.12908; Flow-DPO, arXiv 2501.13918; Diffusion-SDPO, arXiv 2511.03317; AnyID, arXiv 2603.25188.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def interpolate(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """Mix clean latents and noise: noisy = (1 - t) * clean + t * noise.

    Args:
        clean: (B, ...).
        noise: as `clean`, standard normal.
        time: (B,), in [0, 1].

    Returns:
        Noisy latents, as `clean`.
    """
    t = _broadcast(time, clean)
    return (1 - t) * clean + t * noise


def flow_velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """What the model shall predict at every time of the line: noise - clean."""
    return noise - clean


def flow_error(prediction: Tensor, velocity: Tensor) -> Tensor:
    """Mean squared error of each predicted velocity.

    Args:
        prediction: (B, ...), target frames only.
        velocity: as `prediction`.

    Returns:
        (B,), float32 or wider.

    Raises:
        ValueError: shapes differ; broadcasting would hide a mistake.
    """
    if prediction.shape != velocity.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and velocity {tuple(velocity.shape)} differ")
    return (_widen(prediction) - _widen(velocity)).square().flatten(1).mean(1)


def sft_loss(prediction: Tensor, velocity: Tensor) -> Tensor:
    """Rectified-flow loss of supervised training: the mean of `flow_error` over the batch, ()."""
    return flow_error(prediction, velocity).mean()


def flow_dpo_loss(policy_error: Tensor, ref_error: Tensor, *, beta: float) -> Tensor:
    """Push the policy's error down on chosen videos and up on rejected ones.

        loss = -log sigmoid(-beta * ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)))

    Chosen and rejected share noise, time, references and prompt, so that their errors are comparable.
    At policy == ref the loss is ln 2.

    Args:
        policy_error: `flow_error` under the policy, (2, B): row 0 chosen, row 1 rejected.
        ref_error: the same under the frozen policy, (2, B).
        beta: strength of the pull to the frozen policy, > 0. Diffusion-DPO and Flow-DPO write beta / 2 here:
            their beta is twice this one.

    Returns:
        Mean over B, ().

    Raises:
        ValueError: shapes differ, or beta <= 0.
    """
    chosen, rejected = implicit_rewards(policy_error, ref_error, beta=beta)
    return -F.logsigmoid(chosen - rejected).mean()


def implicit_rewards(policy_error: Tensor, ref_error: Tensor, *, beta: float) -> Tensor:
    """How much better the policy predicts each video than the frozen policy: beta * (ref - policy).

    Args:
        policy_error: (2, B), row 0 chosen, row 1 rejected.
        ref_error: as `policy_error`.
        beta: > 0.

    Returns:
        (2, B). Chosen above rejected means that the pair is ranked as people did.

    Raises:
        ValueError: shapes differ, or beta <= 0.
    """
    if policy_error.shape != ref_error.shape or policy_error.ndim != 2 or len(policy_error) != 2:
        shapes = f"{tuple(policy_error.shape)} and {tuple(ref_error.shape)}"
        raise ValueError(f"errors have shapes {shapes}; both must be (2, B), chosen above rejected")
    if beta <= 0:
        raise ValueError(f"beta is {beta}; it must be above 0")
    return beta * (ref_error - policy_error)


def guard_scale(chosen_residual: Tensor, rejected_residual: Tensor, *, mu: float) -> Tensor:
    """How much of the rejected video's gradient is safe for the chosen one, per pair.

        scale = min(1, (1 - mu) * |r_c|^2 / <r_c, r_r>)   where <r_c, r_r> > 0, else 1
        r     = prediction - velocity

    Raising the rejected error along r_r also raises the chosen error where the residuals agree. With this
    scale the step in output space obeys <r_c, scale * r_r - r_c> <= -mu * |r_c|^2: the chosen error always
    falls.

    Args:
        chosen_residual: (B, ...).
        rejected_residual: as `chosen_residual`; same noise and time.
        mu: share of the chosen descent that is kept, in [0, 1].

    Returns:
        (B,), in (0, 1], without gradient.

    Source: Diffusion-SDPO, arXiv 2511.03317; there one scale per batch, here one per pair.
    """
    chosen, rejected = (_widen(r.detach()).flatten(1) for r in (chosen_residual, rejected_residual))
    agreement = (chosen * rejected).sum(1)
    safe = (1 - mu) * chosen.square().sum(1) / agreement.clamp_min(torch.finfo(agreement.dtype).tiny)
    return torch.where(agreement > 0, safe.clamp(max=1), torch.ones_like(safe))


def scale_gradient(value: Tensor, scale: Tensor | float) -> Tensor:
    """Keep the value and multiply its gradient by `scale`."""
    return value.detach() + scale * (value - value.detach())


def time_weight(time: Tensor, schedule: str) -> Tensor:
    """What beta is multiplied by at a time.

        constant           1
        one_minus_t_sq     (1 - t)^2

    Flow-DPO derives the second and finds that the first trains better. Errors of both policies times this
    weight give the loss with `beta * weight`.

    Args:
        time: (B,), in [0, 1].
        schedule: one of the two.

    Returns:
        (B,), in [0, 1].

    Raises:
        ValueError: another schedule.
    """
    if schedule == "constant":
        return torch.ones_like(time)
    if schedule == "one_minus_t_sq":
        return (1 - time).square()
    raise ValueError(f"schedule is {schedule!r}; it must be constant or one_minus_t_sq")


def draw_times(
    quantile: Tensor,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    shift: float = 1.0,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """Turn uniform quantiles into times: logit-normal, then shift, then clamp.

        t = sigmoid(mean + std * probit(u))
        t = clamp(shift * t / (1 + (shift - 1) * t), low, high)

    Quantiles instead of random draws, so that the caller may stratify them.

    Args:
        quantile: u, in (0, 1), any shape.
        mean: of the logit.
        std: of the logit, >= 0.
        shift: above 1 leans towards noise; equal to the sampler's `flow_shift`.
        low: smallest time.
        high: largest time.

    Returns:
        Times in [low, high], shaped as `quantile`.
    """
    t = torch.sigmoid(mean + std * torch.special.ndtri(quantile))
    return (shift * t / (1 + (shift - 1) * t)).clamp(low, high)


def _broadcast(time: Tensor, like: Tensor) -> Tensor:
    return time.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def _widen(tensor: Tensor) -> Tensor:
    """To float32, unless it is wider already."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
