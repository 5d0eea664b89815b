"""Attention that cannot train is refused by name; one compiled block serves every length."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry  # noqa: E402

from generator.model.kernels import TRAINABLE, choose_attention, compile_blocks  # noqa: E402
from generator.model.transformer import AnyIDTransformer  # noqa: E402

CONFIG = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


def build() -> AnyIDTransformer:
    torch.manual_seed(0)
    return AnyIDTransformer(**CONFIG).eval()


BACKENDS = [backend.value for backend in AttentionBackendName]


def test_it_knows_the_backends_of_diffusers() -> None:
    assert set(TRAINABLE) < set(BACKENDS)


@pytest.mark.parametrize(
    "name", [name for name in BACKENDS if name.strip("_").startswith("sage") or name == "_flash_3"]
)
def test_it_refuses_to_train_without_a_backward_pass(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"attention '{name}' has no backward pass.*use one of _native_cudnn"
    ):
        choose_attention(build(), name, training=True)


def test_it_chooses_for_every_attention_and_names_the_choices() -> None:
    """Of this model alone: what another one of the process computes must not hang on it."""
    model, before = build(), _AttentionBackendRegistry.get_active_backend()[0]
    choose_attention(model, "_native_math", training=True)
    chosen = {
        p._attention_backend for block in model.blocks for p in (block.attn1.processor, block.attn2.processor)
    }
    assert chosen == {AttentionBackendName._NATIVE_MATH}
    assert _AttentionBackendRegistry.get_active_backend()[0] == before != AttentionBackendName._NATIVE_MATH
    with pytest.raises(ValueError, match="attention 'fast' is unknown; there are .*_native_cudnn"):
        choose_attention(model, "fast")


@torch.no_grad()
def test_it_compiles_one_graph_for_references_of_every_number() -> None:
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    plain, compiled = build(), build()
    compile_blocks(compiled, backend=counter)
    generator = torch.Generator().manual_seed(0)
    counts = []
    for frames in (2, 1, 5, 3):
        target, shown = (torch.randn(2, 4, f, 4, 4, generator=generator) for f in (2, frames))
        text, timestep = torch.randn(2, 5, 8, generator=generator), torch.tensor([500.0])
        expected = plain(target, timestep, text, shown).sample
        torch.testing.assert_close(compiled(target, timestep, text, shown).sample, expected)
        counts.append(counter.frame_count)
    assert counts[0] == counts[-1] > 0
