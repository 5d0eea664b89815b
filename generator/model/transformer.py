"""The omni-referenced transformer: Wan, reading clean references beside the noisy target.

References and target are one sequence on the temporal axis. Reference tokens carry timestep 0, target tokens
the timestep t; by this alone the model tells them apart (AnyID, design 1). Upstream embeds a timestep for
every token; here only the two that occur are embedded, once each, and every block gathers them by a segment
index, which gives the same numbers without a `(B, S, 6, D)` tensor: 2 GB a block at 1280x704x121.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers import WanTransformer3DModel
from diffusers.configuration_utils import register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from diffusers.utils import apply_lora_scale
from torch import Tensor, nn

ReferencePosition = Literal["before", "after"]

#: Rows of the two embedded timesteps.
REFERENCE, TARGET = 0, 1


def modulate(tokens: Tensor, scale: Tensor, shift: Tensor, segment: Tensor) -> Tensor:
    """Scale and shift every token by its segment's row: `tokens * (1 + scale) + shift`.

    Tokens are (B, S, D) float32; scale and shift (B or 1, 2, D), a row for `REFERENCE` and one for `TARGET`
    tokens; `segment` (S,) is the row that each token takes. No more than one tensor of rows as large as the
    tokens lives at a time, never one of all six.
    """
    return torch.addcmul(shift.index_select(1, segment), tokens, (1 + scale).index_select(1, segment))


def add_gated(tokens: Tensor, update: Tensor, gate: Tensor, segment: Tensor) -> Tensor:
    """The residual step `tokens + update * gate` in float32, with shapes as in `modulate`."""
    return torch.addcmul(tokens.float(), update.float(), gate.index_select(1, segment))


class AnyIDBlock(WanTransformerBlock):
    """A Wan block whose modulation has one row for reference tokens and one for target tokens."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        segment: Tensor,
    ) -> Tensor:
        """Transform the sequence.

        Args:
            hidden_states: (B, S, D).
            encoder_hidden_states: (B or 1, L, D), the text.
            temb: (B or 1, 2, 6, D), modulation of `REFERENCE` and `TARGET` tokens.
            rotary_emb: cosines and sines, (1, S, 1, D / heads) each.
            segment: (S,) int64, the row of `temb` that each token takes.

        Returns:
            (B, S, D).
        """
        table = self.scale_shift_table + temb.float()
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table.unbind(dim=2)

        normed = modulate(self.norm1(hidden_states.float()), scale, shift, segment).type_as(hidden_states)
        attended = self.attn1(normed, None, None, rotary_emb)
        hidden_states = add_gated(hidden_states, attended, gate, segment).type_as(hidden_states)

        normed = self.norm2(hidden_states.float()).type_as(hidden_states)
        # Queries of the text do not see one another: those of a batch with one text are one long sequence.
        queries = normed if len(encoder_hidden_states) == len(normed) else normed.flatten(0, 1)[None]
        attended = self.attn2(queries, encoder_hidden_states, None, None)
        hidden_states = hidden_states + attended.view_as(hidden_states)

        normed = self.norm3(hidden_states.float())
        normed = modulate(normed, ffn_scale, ffn_shift, segment).type_as(hidden_states)
        return add_gated(hidden_states, self.ffn(normed), ffn_gate, segment).type_as(hidden_states)


class SegmentIndex(nn.Module):
    """Which timestep row each token takes.

    A module without weights, so that context parallelism can split its output as it splits the sequence.
    """

    def forward(
        self, num_reference: int, num_target: int, position: ReferencePosition, device: torch.device
    ) -> Tensor:
        """(num_reference + num_target,) int64 of `REFERENCE` and `TARGET`, by the references' position."""
        reference = torch.full((num_reference,), REFERENCE, device=device)
        target = torch.full((num_target,), TARGET, device=device)
        return torch.cat([reference, target] if position == "before" else [target, reference])


def with_parameters_of(parent: Callable[..., None]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give an `__init__` with `**others` the parameters of its parent: Diffusers reads a config off them."""

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        parameters = dict(inspect.signature(parent).parameters)
        for name, parameter in inspect.signature(init).parameters.items():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                parameters.setdefault(name, parameter)
        init.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        return init

    return decorate


class AnyIDTransformer(WanTransformer3DModel):
    """`WanTransformer3DModel` with references: the same state dict, config keys and LoRA names.

    Args:
        reference_position: where references stand on the temporal axis: `before` or `after` the target. Part
            of what was trained, hence of the config.
        **others: as upstream.
    """

    _no_split_modules = ["AnyIDBlock"]
    _repeated_blocks = ["AnyIDBlock"]
    _cp_plan = {
        "rope": {
            0: ContextParallelInput(split_dim=1, expected_dims=4, split_output=True),
            1: ContextParallelInput(split_dim=1, expected_dims=4, split_output=True),
        },
        "segments": {0: ContextParallelInput(split_dim=0, expected_dims=1, split_output=True)},
        "blocks.0": {"hidden_states": ContextParallelInput(split_dim=1, expected_dims=3, split_output=False)},
        "proj_out": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }

    @register_to_config
    @with_parameters_of(WanTransformer3DModel.__init__)
    def __init__(self, *, reference_position: ReferencePosition = "after", **others: Any) -> None:
        super().__init__(**others)
        if reference_position not in ("before", "after"):
            raise ValueError(f"reference_position is {reference_position!r}; it must be 'before' or 'after'")
        # Built a second time, since upstream names its block class; loading builds on the meta device.
        heads, ffn_dim = self.config.num_attention_heads, self.config.ffn_dim
        dim = heads * self.config.attention_head_dim
        rest = ("qk_norm", "cross_attn_norm", "eps", "added_kv_proj_dim")
        self.blocks = nn.ModuleList(
            AnyIDBlock(dim, ffn_dim, heads, **{name: self.config[name] for name in rest})
            for _ in range(self.config.num_layers)
        )
        self.segments = SegmentIndex()

    def enable_cache(self, config: Any) -> None:
        """Upstream's step caches, which must be told what our block returns."""
        TransformerBlockRegistry.register(
            AnyIDBlock,
            TransformerBlockMetadata(return_hidden_states_index=0, return_encoder_hidden_states_index=None),
        )
        super().enable_cache(config)

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        reference_latents: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the target's velocity (noise - clean).

        Args:
            hidden_states: (B, C, F, h, w), the noisy target.
            timestep: (B,) in [0, 1000], of the target; (1,) where the batch shares one, which is faster.
            encoder_hidden_states: (B, L, text_dim); (1, L, text_dim) where the batch shares one.
            reference_latents: (B, C, R, h, w), all references of a sample one after the other, primary
                first; None for none.
            return_dict: whether to wrap the result.
            attention_kwargs: upstream's; `scale` scales LoRA.

        Returns:
            The prediction for the target alone, (B, C, F, h, w).

        Raises:
            ValueError: a shape that the model cannot take.
        """
        self._check_shapes(hidden_states, timestep, encoder_hidden_states, reference_latents)
        sequence, first, segment = self._sequence(hidden_states, reference_latents)
        rotary_emb = self.rope(sequence)
        tokens = self.patch_embedding(sequence).flatten(2).transpose(1, 2).contiguous()

        rows = torch.stack([torch.zeros_like(timestep), timestep], dim=1)
        temb, modulation, text, _ = self.condition_embedder(
            rows.flatten(), encoder_hidden_states, None, timestep_seq_len=2
        )
        modulation = modulation.unflatten(2, (6, -1))
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                tokens = self._gradient_checkpointing_func(
                    block, tokens, text, modulation, rotary_emb, segment
                )
            else:
                tokens = block(tokens, text, modulation, rotary_emb, segment)

        shift, scale = (self.scale_shift_table + temb.unsqueeze(2)).float().unbind(dim=2)
        tokens = modulate(self.norm_out(tokens.float()), scale, shift, segment).type_as(tokens)
        video = self._unpatch(self.proj_out(tokens), sequence)
        prediction = video[:, :, first : first + hidden_states.shape[2]]
        return Transformer2DModelOutput(sample=prediction) if return_dict else (prediction,)

    def _sequence(self, target: Tensor, references: Tensor | None) -> tuple[Tensor, int, Tensor]:
        """Target and references in time, the target's first frame, and the segment of each token."""
        position = self.config.reference_position
        first, sequence = 0, target
        if references is not None:
            references = references.to(target.dtype)
            first = references.shape[2] if position == "before" else 0
            pair = [references, target] if position == "before" else [target, references]
            sequence = torch.cat(pair, dim=2)
        patch_frames, patch_height, patch_width = self.config.patch_size
        grid = (target.shape[3] // patch_height) * (target.shape[4] // patch_width)
        num_target = target.shape[2] // patch_frames * grid
        num_reference = sequence.shape[2] // patch_frames * grid - num_target
        return sequence, first, self.segments(num_reference, num_target, position, target.device)

    def _unpatch(self, patches: Tensor, sequence: Tensor) -> Tensor:
        """(B, S, patch * C) as (B, C, F, h, w), the size of the sequence."""
        patch = self.config.patch_size
        counts = [size // part for size, part in zip(sequence.shape[2:], patch, strict=True)]
        parts = patches.reshape(len(sequence), *counts, *patch, -1)
        return parts.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _check_shapes(
        self, target: Tensor, timestep: Tensor, text: Tensor, references: Tensor | None
    ) -> None:
        """Refuse what would fail later with a message about something else."""
        frames, height, width = self.config.patch_size
        if target.ndim != 5 or target.shape[1] != self.config.in_channels:
            raise ValueError(
                f"hidden_states has shape {tuple(target.shape)}; "
                f"it must be (B, {self.config.in_channels}, F, h, w)"
            )
        if target.shape[2] % frames or target.shape[3] % height or target.shape[4] % width:
            raise ValueError(
                f"latent size {tuple(target.shape[2:])} is not a multiple "
                f"of the patch {(frames, height, width)}"
            )
        if timestep.shape not in ((1,), target.shape[:1]):
            raise ValueError(
                f"timestep has shape {tuple(timestep.shape)}; it must be ({target.shape[0]},) or (1,)"
            )
        if text.ndim != 3 or len(text) not in (1, len(target)):
            raise ValueError(
                f"encoder_hidden_states has shape {tuple(text.shape)}; it must be ({len(target)} or 1, L, D)"
            )
        if references is None:
            return
        wanted = (target.shape[0], target.shape[1], *target.shape[3:])
        if references.ndim != 5 or (*references.shape[:2], *references.shape[3:]) != wanted:
            raise ValueError(
                f"reference_latents has shape {tuple(references.shape)}; with this target it must be "
                f"({wanted[0]}, {wanted[1]}, R, {wanted[2]}, {wanted[3]})"
            )
        if references.shape[2] % frames:
            raise ValueError(
                f"{references.shape[2]} reference frames are not a multiple of the patch's {frames}"
            )
