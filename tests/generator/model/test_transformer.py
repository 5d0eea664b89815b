"""The transformer agrees with upstream's per-token path, and only the target comes out."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from diffusers import WanTransformer3DModel  # noqa: E402

from generator.model.transformer import AnyIDTransformer  # noqa: E402

CONFIG = {
    "patch_size": (1, 2, 2),
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


def build(position: str = "after", seed: int = 0) -> AnyIDTransformer:
    torch.manual_seed(seed)
    return AnyIDTransformer(**CONFIG, reference_position=position).eval()


def upstream_of(model: AnyIDTransformer) -> WanTransformer3DModel:
    upstream = WanTransformer3DModel(**CONFIG).eval()
    upstream.load_state_dict(model.state_dict())
    return upstream


def inputs(references: int | None = 3, batch: int = 2):
    generator = torch.Generator().manual_seed(5)
    target = torch.randn(batch, 4, 2, 4, 6, generator=generator)
    text = torch.randn(batch, 5, 8, generator=generator)
    shown = None if references is None else torch.randn(batch, 4, references, 4, 6, generator=generator)
    return target, torch.tensor([700.0, 120.0])[:batch], text, shown


@torch.no_grad()
@pytest.mark.parametrize("position", ["before", "after"])
def test_it_equals_upstream_with_a_timestep_for_every_token(position: str) -> None:
    """Upstream embeds 2 x 3 x 6 zeros and t's; here two rows are embedded and gathered."""
    model = build(position)
    target, timestep, text, references = inputs()
    grid = 2 * 3  # tokens a latent frame
    zeros, times = torch.zeros(2, 3 * grid), timestep[:, None].expand(2, 2 * grid)
    order = (
        ([references, target], [zeros, times])
        if position == "before"
        else ([target, references], [times, zeros])
    )
    expected = upstream_of(model)(torch.cat(order[0], 2), torch.cat(order[1], 1), text, return_dict=False)[0]
    expected = expected[:, :, 3:] if position == "before" else expected[:, :, :2]
    predicted = model(target, timestep, text, references, return_dict=False)[0]
    assert predicted.shape == target.shape
    torch.testing.assert_close(predicted, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_it_equals_upstream_with_one_timestep_when_there_are_no_references() -> None:
    model = build()
    target, timestep, text, _ = inputs(None)
    expected = upstream_of(model)(target, timestep, text, return_dict=False)[0]
    torch.testing.assert_close(model(target, timestep, text).sample, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_it_takes_one_timestep_for_the_whole_batch() -> None:
    """As upstream's scalar path does for the whole sequence; here the references stay at 0."""
    model = build()
    target, _, text, references = inputs()
    timestep = torch.tensor([321.0])
    expected = model(target, timestep.expand(2), text, references).sample
    torch.testing.assert_close(
        model(target, timestep, text, references).sample, expected, atol=1e-6, rtol=1e-5
    )
    without = model(target, timestep, text).sample
    scalar = upstream_of(model)(target, timestep.expand(2), text, return_dict=False)[0]
    torch.testing.assert_close(without, scalar, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_it_takes_one_text_for_the_whole_batch() -> None:
    model = build()
    target, timestep, text, references = inputs()
    expected = model(target, timestep, text[:1].expand(2, -1, -1), references).sample
    torch.testing.assert_close(
        model(target, timestep, text[:1], references).sample, expected, atol=1e-6, rtol=1e-5
    )


@torch.no_grad()
def test_it_modulates_in_float32_in_a_half_precision_model() -> None:
    """Loaded as upstream loads it, its tables and time embedding stay float32 and the rest is bfloat16."""
    reference = build()
    model = build()
    for name, parameter in model.named_parameters():
        if not any(kept in name for kept in WanTransformer3DModel._keep_in_fp32_modules):
            parameter.data = parameter.data.bfloat16()
    target, timestep, text, references = inputs()
    half = [tensor.bfloat16() for tensor in (target, text, references)]
    predicted = model(half[0], timestep, half[1], half[2]).sample
    assert predicted.dtype == torch.bfloat16
    upstream = WanTransformer3DModel(**CONFIG).eval()
    upstream.load_state_dict(model.state_dict(), assign=True)
    times = torch.cat([timestep[:, None].expand(2, 12), torch.zeros(2, 18)], dim=1)
    expected = upstream(torch.cat([half[0], half[2]], 2), times, half[1], return_dict=False)[0][:, :, :2]
    exact = reference(target, timestep, text, references).sample
    distance = (expected.float() - exact).abs().max()
    assert (predicted.float() - exact).abs().max() <= 1.5 * distance


@torch.no_grad()
def test_it_reads_references_at_timestep_zero() -> None:
    """The same frames as noisy target instead would be read at t: another result."""
    model = build()
    target, timestep, text, references = inputs()
    as_reference = model(target, timestep, text, references).sample
    as_target = model(torch.cat([target, references], 2), timestep, text).sample[:, :, :2]
    assert (as_reference - as_target).abs().max() > 1e-3
    at_zero = model(target, torch.zeros(2), text, references).sample
    everything_at_zero = model(torch.cat([target, references], 2), torch.zeros(2), text).sample[:, :, :2]
    torch.testing.assert_close(at_zero, everything_at_zero, atol=1e-6, rtol=1e-5)


def test_it_learns_from_the_target_alone() -> None:
    """Whatever stands at the references' places of upstream's output, no gradient comes from there."""
    model = build()
    target, timestep, text, references = inputs()
    seen = []

    def keep(module, args, output) -> None:
        output.retain_grad()
        seen.append(output)

    model.proj_out.register_forward_hook(keep)
    model(target, timestep, text, references).sample.square().mean().backward()
    gradient = seen[0].grad
    assert gradient[:, : 2 * 6].abs().max() > 0
    assert gradient[:, 2 * 6 :].abs().max() == 0


def test_it_keeps_upstreams_weights_and_names() -> None:
    model, upstream = build(), WanTransformer3DModel(**CONFIG)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in upstream.state_dict().items()
    }
    linear = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert linear == {n for n, m in upstream.named_modules() if isinstance(m, torch.nn.Linear)}


@torch.no_grad()
def test_it_saves_its_reference_position_and_loads_in_upstream(tmp_path) -> None:
    model = build("before")
    model.save_pretrained(tmp_path)
    assert AnyIDTransformer.from_pretrained(tmp_path).config.reference_position == "before"
    plain = WanTransformer3DModel.from_pretrained(tmp_path).eval()
    target, timestep, text, _ = inputs(None)
    torch.testing.assert_close(plain(target, timestep, text).sample, model(target, timestep, text).sample)


def test_it_trains_the_same_with_gradient_checkpointing() -> None:
    target, timestep, text, references = inputs()
    gradients = []
    for checkpointing in (False, True):
        model = build().train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        model(target, timestep, text, references).sample.square().mean().backward()
        gradients.append(model.patch_embedding.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"references": torch.zeros(2, 4, 3, 4, 4)},
            r"reference_latents has shape .* must be \(2, 4, R, 4, 6\)",
        ),
        ({"references": torch.zeros(1, 4, 3, 4, 6)}, "reference_latents has shape"),
        ({"target": torch.zeros(2, 4, 2, 3, 6)}, "not a multiple of the patch"),
        ({"target": torch.zeros(2, 5, 2, 4, 6)}, r"must be \(B, 4, F, h, w\)"),
        ({"timestep": torch.zeros(3)}, r"timestep has shape \(3,\); it must be \(2,\) or \(1,\)"),
        ({"timestep": torch.zeros(2, 1)}, "timestep has shape"),
        ({"references": torch.zeros(2, 4, 4, 6)}, "reference_latents has shape"),
        ({"text": torch.zeros(3, 5, 8)}, r"encoder_hidden_states has shape .* must be \(2 or 1, L, D\)"),
    ],
)
def test_it_names_what_it_cannot_take(change, message: str) -> None:
    target, timestep, text, references = inputs()
    values = {"target": target, "timestep": timestep, "text": text, "references": references, **change}
    with pytest.raises(ValueError, match=message):
        build()(values["target"], values["timestep"], values["text"], values["references"])


def test_it_refuses_an_unknown_reference_position() -> None:
    with pytest.raises(ValueError, match="reference_position is 'left'"):
        AnyIDTransformer(**CONFIG, reference_position="left")
