"""The 5B model's shapes and arithmetic, on the meta device: no weight is ever made."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import UMT5EncoderModel  # noqa: E402

from generator.model import wan  # noqa: E402
from generator.model.kernels import choose_attention  # noqa: E402
from generator.portraits.tiny import build_tiny_pipeline  # noqa: E402

SMALL = {
    **wan.TRANSFORMER,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 2,
}


def billions(model) -> float:
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e9, 2)


def test_it_has_the_released_latents_and_tokens() -> None:
    """704 / 16 = 44, 1280 / 16 = 80, 1 + 120 / 4 = 31; patches of 2 x 2 give 31 x 22 x 40 tokens."""
    assert wan.latent_shape(121) == (48, 31, 44, 80)
    assert wan.count_tokens(121) == 31 * 22 * 40 == 27_280
    assert wan.latent_shape(1) == (48, 1, 44, 80) and wan.count_tokens(1) == 880
    assert wan.latent_shape(33) == (48, 9, 44, 80) and wan.count_tokens(33) == 9 * 880


def test_it_has_the_released_numbers_of_parameters() -> None:
    """5 billion, as its name says; UMT5-XXL's encoder has 5.68 billion, the VAE 0.7."""
    assert billions(wan.build_transformer(device="meta")) == 5.0
    with torch.device("meta"):
        assert billions(UMT5EncoderModel(wan.text_encoder_config())) == 5.68
    vae = wan.build_vae()
    assert billions(vae) == 0.7
    assert len(vae.config.latents_mean) == len(vae.config.latents_std) == vae.config.z_dim == 48


def test_it_runs_the_released_shapes() -> None:
    model = wan.build_transformer({**wan.TRANSFORMER, "num_layers": 1}, device="meta")
    target = torch.empty(1, *wan.latent_shape(121), device="meta", dtype=torch.bfloat16)
    clip = torch.empty(1, *wan.latent_shape(33), device="meta", dtype=torch.bfloat16)
    text = torch.empty(1, 512, 4096, device="meta", dtype=torch.bfloat16)
    assert model(target, torch.empty(1, device="meta"), text, clip).sample.shape == target.shape


def test_it_describes_what_the_vae_makes() -> None:
    pipeline = build_tiny_pipeline()
    for frames in (1, 5, 9):
        latent = pipeline.encode_video(torch.zeros(frames, 64, 64, 3, dtype=torch.uint8).numpy())
        assert latent.shape[1:] == wan.latent_shape(frames, 64, 64, pipeline.vae.config)


@torch.no_grad()
def test_it_counts_the_arithmetic_of_a_forward_pass() -> None:
    """Against torch's own counter, with three reference frames beside two of the target."""
    model = wan.build_transformer(SMALL, device="cpu", dtype=torch.float32)
    target, shown = torch.randn(1, 4, 2, 4, 6), torch.randn(1, 4, 3, 4, 6)
    # The counter knows no fused attention of the CPU.
    choose_attention(model, "_native_math")
    with FlopCounterMode(display=False) as counter:
        model(target, torch.tensor([500.0]), torch.randn(1, 7, 8), shown)
    assert wan.count_forward_flops(5 * 2 * 3, 7, SMALL) == counter.get_total_flops()
    assert round(wan.count_forward_flops(27_280) / 1e12) == 517


@torch.no_grad()
def test_it_builds_random_weights_in_the_types_of_a_loaded_checkpoint() -> None:
    model = wan.build_transformer(SMALL, device="cpu")
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert types["blocks.0.attn1.to_q.weight"] == types["patch_embedding.weight"] == torch.bfloat16
    assert types["blocks.1.scale_shift_table"] == types["scale_shift_table"] == torch.float32
    assert types["condition_embedder.time_embedder.linear_1.weight"] == torch.float32
    assert types["blocks.0.norm2.weight"] == torch.float32
    assert not any(parameter.requires_grad for parameter in model.parameters())
    again = wan.build_transformer(SMALL, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    video = torch.randn(1, 4, 2, 4, 6).bfloat16()
    predicted = model(video, torch.tensor([500.0]), torch.randn(1, 7, 8).bfloat16(), video).sample
    assert predicted.dtype == torch.bfloat16 and predicted.isfinite().all()
