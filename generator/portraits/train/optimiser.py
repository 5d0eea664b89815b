"""The optimiser of the tiny networks, and what several processes share.

Muon takes a third of Adam's steps on these small convolutions and transformers, which is what makes training
on two CPU cores bearable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn

#: Newton-Schulz coefficients of the quintic iteration (Jordan et al., "Muon", 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: Tensor, dtype: torch.dtype, steps: int = 5) -> Tensor:
    """Push all singular values of a matrix towards 1.

    Args:
        matrix: (m, n).
        dtype: of the products; the iteration is stable in bfloat16.
        steps: iterations.

    Returns:
        (m, n) float32, approximately U V^T of the matrix' singular value decomposition.
    """
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every direction of a weight matrix learns equally fast.

    Convolution kernels are matrices of (out, in * kernel). Updates have the root mean square of Adam's
    (0.2), so both can share a learning rate.

    Args:
        params: weights of at least two dimensions.
        lr: learning rate.
        dtype: see `orthogonalise`.
        momentum: of the gradient's moving average, with Nesterov's look-ahead.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        dtype: torch.dtype,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(average, group["momentum"]).flatten(1)
                scale = 0.2 * math.sqrt(max(update.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonalise(update, self.dtype).view_as(weight), alpha=-group["lr"] * scale)


class Optimiser:
    """Muon for the hidden matrices, AdamW for all else, one learning rate, a common clip.

    Args:
        modules: what is trained.
        lr: peak learning rate.
        dtype: of Muon's products, see `orthogonalise`.
        plain: parts of parameter names that Adam takes although they are matrices (embeddings, heads).
    """

    def __init__(
        self, modules: Iterable[nn.Module], lr: float, dtype: torch.dtype, plain: tuple[str, ...] = ()
    ) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:
                    continue
                is_matrix = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 4
                is_plain = any(part in name for part in (*plain, "norm", "gamma", "scale_shift"))
                (matrices if is_matrix and not is_plain else others).append(parameter)
        self.lr, self.parameters = lr, matrices + others
        self.optimisers = (
            Muon(matrices, lr=lr, dtype=dtype),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
        )

    def step(self, fraction: float) -> float:
        """Average the gradients over processes, clip them to norm 1, update, clear.

        Args:
            fraction: of the peak learning rate, in [0, 1].

        Returns:
            The gradients' norm before clipping.
        """
        average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.lr * fraction
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return float(norm)

    def state_dict(self) -> list[dict[str, object]]:
        """State of both optimisers."""
        return [optimiser.state_dict() for optimiser in self.optimisers]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        """Take back what `state_dict` gave."""
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)


def trapezoid(step: int, steps: int, warmup: int = 50, decay: float = 0.4) -> float:
    """Share of the peak learning rate: up over `warmup` steps, flat, down to 0 over the last `decay`."""
    left = (steps - step) / max(1.0, decay * steps)
    return max(0.0, min(1.0, (step + 1) / warmup, left))


def join_processes() -> tuple[int, int]:
    """Join the processes that `torchrun` started.

    Returns:
        Rank and number of processes; (0, 1) when there is only this one.
    """
    if not distributed.is_torchelastic_launched():
        return 0, 1
    distributed.init_process_group("gloo")
    return distributed.get_rank(), distributed.get_world_size()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Mean of the gradients over all processes; nothing when alone."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
