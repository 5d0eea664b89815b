"""The policy of a DPO run: a transformer that answers draws with flow errors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlhf.dpo.branch_parallel import Partner
from rlhf.objectives import flow_error, flow_velocity, guard_scale, interpolate, scale_gradient
from rlhf.training.draws import Tensors
from rlhf.training.learner import Learner


class FlowPolicy(Learner):
    """A transformer that answers a batch of draws with its flow errors.

    Args:
        transformer: see `Learner`.
        guard_mu: see `guard_scale`; None switches the guard off.
        split_branches: keep the activations of one branch at a time: half the memory for one more forward
            pass. The rejected branch comes first and is recomputed in the backward pass, after the chosen
            branch's has freed everything.
    """

    def __init__(
        self, transformer: nn.Module, *, guard_mu: float | None = None, split_branches: bool = False
    ) -> None:
        """Wrap the transformer."""
        super().__init__(transformer)
        self.guard_mu, self.split_branches = guard_mu, split_branches

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
        for index, group in self.groups(draws):
            error, scale = self._errors(group, partner)
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
        prediction = self.predict(interpolate(clean, noise, time), time, prompt, references)
        velocity = flow_velocity(clean, noise)
        return flow_error(prediction, velocity), prediction.detach() - velocity
