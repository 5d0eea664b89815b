"""A transformer that is trained: it is shown draws, and predicts velocities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from rlhf.training import processes
from rlhf.training.draws import Tensors
from rlhf.training.sharding import is_sharded


class Learner(nn.Module):
    """What transformers.Trainer asks of any model, around a transformer.

    Args:
        transformer: predicts the target's velocity from noisy latents (B, C, F, H, W), timestep (B,) in [0,
            1000], prompt embeddings (B, L, D) and `reference_latents` (B, C, R, H, W).
    """

    accepts_loss_kwargs = False

    def __init__(self, transformer: nn.Module) -> None:
        """Wrap the transformer."""
        super().__init__()
        self.transformer = transformer
        self.config = SimpleNamespace(model_type="anyid", use_cache=False, to_dict=dict)

    def predict(self, noisy: Tensor, time: Tensor, prompt_embeds: Tensor, references: Tensor) -> Tensor:
        """The velocity that the transformer predicts for the target, (B, C, F, H, W).

        Args:
            noisy: (B, C, F, H, W).
            time: (B,), in [0, 1].
            prompt_embeds: (B, L, D).
            references: (B, C, R, H, W).
        """
        # A model's own `dtype` leaves out the few weights that stay float32 in a bfloat16 model.
        weights = getattr(self.transformer, "dtype", None) or next(self.transformer.parameters()).dtype
        prediction: Tensor = self.transformer(
            noisy.to(weights),
            1000.0 * time,
            prompt_embeds.to(weights),
            reference_latents=references.to(weights),
            return_dict=False,
        )[0]
        return prediction

    def groups(self, draws: Sequence[Tensors]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Draws that share a forward pass, since their shapes are equal: their indices, and them stacked.

        Where weights are shared out, processes pass in step, and one with fewer groups passes its last one
        again: the same result takes the place of the first, whose gradient then is 0.
        """
        passes = equal_shapes(draws)
        if is_sharded(self.transformer):
            passes += passes[-1:] * (processes.most(len(passes)) - len(passes))
        for indices in passes:
            group = {name: torch.stack([draws[index][name] for index in indices]) for name in draws[0]}
            yield torch.tensor(indices, device=group["clean"].device), group


def equal_shapes(draws: Sequence[Tensors]) -> list[list[int]]:
    """Indices of the draws, grouped by the shapes of their tensors, in order of appearance."""
    groups: dict[tuple[torch.Size, ...], list[int]] = {}
    for index, tensors in enumerate(draws):
        groups.setdefault(tuple(tensor.shape for tensor in tensors.values()), []).append(index)
    return list(groups.values())
