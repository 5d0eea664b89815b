"""The policy of a DPO run: a transformer that answers draws with flow errors."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlhf.dpo.branch_parallel import Partner
from rlhf.objectives import flow_error, flow_velocity, guard_scale, interpolate, scale_gradient
from rlhf.training import processes
from rlhf.training.draws import Tensors
from rlhf.training.sharding import is_sharded


def predict(
    transformer: nn.Module, noisy: Tensor, time: Tensor, prompt_embeds: Tensor, references: Tensor
) -> Tensor:
    """The velocity that a transformer predicts for the target, (B, C, F, H, W).

    Args:
        transformer: see `FlowPolicy`.
        noisy: (B, C, F, H, W).
        time: (B,), in [0, 1].
        prompt_embeds: (B, L, D).
        references: (B, C, R, H, W).
    """
    # A model's own `dtype` leaves out the few weights that stay float32 in a bfloat16 model.
    weights = getattr(transformer, "dtype", None) or next(transformer.parameters()).dtype
    prediction: Tensor = transformer(
        noisy.to(weights),
        1000.0 * time,
        prompt_embeds.to(weights),
        reference_latents=references.to(weights),
        return_dict=False,
    )[0]
    return prediction


class FlowPolicy(nn.Module):
    """A transformer that answers a batch of draws with its flow errors.

    Args:
        transformer: predicts the target's velocity from noisy latents (B, C, F, H, W), timestep (B,) in [0,
            1000], prompt embeddings (B, L, D) and `reference_latents` (B, C, R, H, W).
        guard_mu: see `guard_scale`; None switches the guard off.
        split_branches: keep the activations of one branch at a time: half the memory for one more forward
            pass. The rejected branch comes first and is recomputed in the backward pass, after the chosen
            branch's has freed everything.
    """

    # What transformers.Trainer asks of any model.
    accepts_loss_kwargs = False

    def __init__(
        self, transformer: nn.Module, *, guard_mu: float | None = None, split_branches: bool = False
    ) -> None:
        """Wrap the transformer."""
        super().__init__()
        self.transformer, self.guard_mu, self.split_branches = transformer, guard_mu, split_branches
        self.config = SimpleNamespace(model_type="anyid", use_cache=False, to_dict=dict)

    def forward(self, draws: Sequence[Tensors], partner: Partner | None = None) -> tuple[Tensor, Tensor]:
        """Flow errors of the draws.

        Chosen and rejected get the same noise, time, references and prompt. Draws with equal shapes (mostly:
        equally many reference latents) share a forward pass.

        Args:
            draws: B items of `PairDraws`.
            partner: computes the other branch of the same draws meanwhile; None computes both here.

        Returns:
            errors (2, B), row 0 chosen, row 1 rejected, and the guard's scale (B,), 1 where there is none.
        """
        errors = draws[0]["clean"].new_empty((2, len(draws)), dtype=torch.float32)
        scales = torch.ones_like(errors[0])
        for places in passes(draws, self.transformer):
            group = {name: torch.stack([draws[place][name] for place in places]) for name in draws[0]}
            error, scale = self._errors(group, partner)
            index = torch.tensor(places, device=errors.device)
            errors = errors.index_copy(1, index, error)
            scales = scales.index_copy(0, index, scale)
        return errors, scales

    def _errors(self, group: Tensors, partner: Partner | None) -> tuple[Tensor, Tensor]:
        if partner:
            errors, residuals = self._with_partner(group, partner)
        elif self.split_branches:
            rejected = checkpoint(self._branch, group, slice(1, 2), use_reentrant=False)
            chosen = self._branch(group, slice(0, 1))
            errors, residuals = ([*pair] for pair in zip(chosen, rejected, strict=True))
        else:
            error, residual = self._branch(group, slice(0, 2))
            errors, residuals = [*error.chunk(2)], [*residual.chunk(2)]
        scale = torch.ones_like(errors[0].detach())
        if self.guard_mu is not None:
            scale = guard_scale(*residuals, mu=self.guard_mu)
        return torch.stack([errors[0], scale_gradient(errors[1], scale)]), scale

    def _with_partner(self, group: Tensors, partner: Partner) -> tuple[list[Tensor], list[Tensor]]:
        """Errors and residuals of both branches, of which this process's own has a gradient.

        It counts double: processes average their gradients, and this one has a half of the pair's.
        """
        error, residual = self._branch(group, slice(partner.branch, partner.branch + 1))
        errors = [*partner.exchange(error.detach())]
        errors[partner.branch] = scale_gradient(error, 2.0)
        return errors, [] if self.guard_mu is None else [*partner.exchange(residual)]

    def _branch(self, group: Tensors, branches: slice) -> tuple[Tensor, Tensor]:
        """Errors and residuals of one branch of all pairs, or of both: all chosen, then all rejected."""
        clean = group["clean"][:, branches].transpose(0, 1)
        number = len(clean)
        clean = clean.flatten(0, 1)
        noise, time, references, prompt = (
            group[name].repeat(number, *[1] * (group[name].ndim - 1))
            for name in ("noise", "time", "references", "prompt_embeds")
        )
        prediction = predict(self.transformer, interpolate(clean, noise, time), time, prompt, references)
        velocity = flow_velocity(clean, noise)
        return flow_error(prediction, velocity), prediction.detach() - velocity


def passes(draws: Sequence[Tensors], transformer: nn.Module) -> list[list[int]]:
    """Places of the draws that share a forward pass, for each pass: those with equal shapes.

    Where weights are shared out, processes pass in step, and one with fewer groups passes its last one again:
    the same result takes the place of the first, whose gradient then is 0.

    Args:
        draws: of this process.
        transformer: see `rlhf.training.sharding`.
    """
    groups = equal_shapes(draws)
    if is_sharded(transformer):
        groups += groups[-1:] * (processes.most(len(groups)) - len(groups))
    return groups


def equal_shapes(draws: Sequence[Tensors]) -> list[list[int]]:
    """Places of the draws, grouped by the shapes of their tensors, in order of appearance."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, tensors in enumerate(draws):
        groups.setdefault(tuple(tuple(tensors[name].shape) for name in tensors), []).append(place)
    return list(groups.values())
