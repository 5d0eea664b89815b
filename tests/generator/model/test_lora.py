"""A LoRA means the same in this project, in plain Diffusers and in ComfyUI's form."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from diffusers import WanPipeline, WanTransformer3DModel  # noqa: E402
from peft import LoraConfig  # noqa: E402
from peft.tuners.lora import LoraLayer  # noqa: E402
from peft.utils import get_peft_model_state_dict  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from generator.adapter_files import ADAPTER_FILE  # noqa: E402
from generator.model.adapters.adapter import adapter_file  # noqa: E402
from generator.model.lora import convert, main, to_comfyui  # noqa: E402
from generator.model.transformer import AnyIDTransformer  # noqa: E402
from tests.generator.model.loras import ALPHAS, BLOCK_LAYERS, CONFIG, ENDS, adapt, build, inputs, predict  # noqa: E402


def plain(base: AnyIDTransformer) -> WanPipeline:
    """Diffusers' own pipeline and transformer with the same base weights."""
    transformer = WanTransformer3DModel(**CONFIG).eval()
    transformer.load_state_dict(base.state_dict())
    return WanPipeline(None, None, None, None, transformer=transformer)


@ALPHAS
def test_it_means_the_same_in_plain_diffusers_in_either_form(tmp_path: Path, settings) -> None:
    trained = adapt(tmp_path, **settings)
    convert(tmp_path, tmp_path / "comfyui.safetensors")
    expected = predict(trained)
    assert (predict(build()) - expected).abs().max() > 1e-3
    for name in (ADAPTER_FILE, "comfyui.safetensors"):
        pipeline = plain(build())
        pipeline.load_lora_weights(str(tmp_path), weight_name=name)
        torch.testing.assert_close(predict(pipeline.transformer), expected, atol=1e-5, rtol=1e-5)


@ALPHAS
def test_it_adds_to_every_weight_what_peft_adds(tmp_path: Path, settings) -> None:
    """ComfyUI adds alpha / rank * B @ A to the weight of that name, and B @ A where there is no alpha."""
    trained = adapt(tmp_path, **settings)
    convert(tmp_path, tmp_path / "comfyui.safetensors")
    written = load_file(tmp_path / "comfyui.safetensors")
    read_back = WanPipeline.lora_state_dict(str(tmp_path), weight_name="comfyui.safetensors")
    layers = {name: layer for name, layer in trained.named_modules() if isinstance(layer, LoraLayer)}
    downs = sorted(name for name in written if name.endswith("lora_A.weight"))
    assert len(downs) == len(layers) == len(read_back) // 2
    deltas = []
    for down in downs:
        layer = down.removesuffix(".lora_A.weight")
        scale = written[f"{layer}.alpha"] / len(written[down]) if f"{layer}.alpha" in written else 1.0
        deltas.append(scale * written[f"{layer}.lora_B.weight"] @ written[down])
    for name, layer in layers.items():
        expected = layer.get_delta_weight("default")
        assert any(d.shape == expected.shape and torch.allclose(d, expected, atol=1e-6) for d in deltas)
        back = (read_back[f"transformer.{name}.lora_{side}.weight"] for side in "BA")
        torch.testing.assert_close(next(back) @ next(back), expected, atol=1e-6, rtol=1e-5)


def test_it_keeps_every_tensor_where_alpha_is_the_rank(tmp_path: Path) -> None:
    adapt(tmp_path, lora_alpha=4)
    convert(tmp_path, tmp_path / "comfyui.safetensors")
    original = load_file(tmp_path / ADAPTER_FILE)
    again = WanPipeline.lora_state_dict(str(tmp_path), weight_name="comfyui.safetensors")
    assert again.keys() == original.keys()
    assert all(torch.equal(again[name], value) for name, value in original.items())


def test_it_uses_the_original_models_names(tmp_path: Path) -> None:
    adapt(tmp_path, lora_alpha=8, target_modules=BLOCK_LAYERS + ENDS)
    assert convert(tmp_path, tmp_path / "comfyui.safetensors") == 2 * 10 + 6
    with safe_open(tmp_path / "comfyui.safetensors", "pt") as content:
        names = {name.rpartition(".lora_A")[0] for name in content.keys() if ".lora_A." in name}  # noqa: SIM118
        assert content.get_tensor("diffusion_model.blocks.0.self_attn.q.alpha").item() == 8
        assert content.metadata() == {"format": "pt"}  # alpha said twice would be applied twice
    inner = [f"{kind}_attn.{letter}" for kind in ("self", "cross") for letter in "qkvo"] + ["ffn.0", "ffn.2"]
    ends = ["text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2"]
    assert names == {f"diffusion_model.blocks.{i}.{name}" for i in (0, 1) for name in inner} | {
        f"diffusion_model.{name}" for name in [*ends, "time_projection.1", "head.head"]
    }


def test_it_loads_a_trained_lora_on_top_of_another_in_plain_diffusers(tmp_path: Path) -> None:
    """One trained here with references beside the target, as SFT and then DPO would leave them."""
    model = adapt(tmp_path / "sft", lora_alpha=8)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["to_q", "ffn.net.2"])
    model.add_adapter(config, adapter_name="dpo")
    model.set_adapters(["default", "dpo"])
    trained = [p for name, p in model.named_parameters() if ".dpo." in name]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    target, timestep, text, references = inputs()
    for _ in range(2):
        optimizer.zero_grad()
        (model(target, timestep, text, references).sample - target).square().mean().backward()
        optimizer.step()
    assert all(p.abs().max() > 0 for name, p in model.named_parameters() if "lora_B.dpo" in name)
    WanPipeline.save_lora_weights(
        tmp_path / "dpo",
        transformer_lora_layers=get_peft_model_state_dict(model, adapter_name="dpo"),
        transformer_lora_adapter_metadata={"r": 2, "lora_alpha": 6, "target_modules": ["ffn.net.2", "to_q"]},
    )
    pipeline = plain(build())
    for name in ("sft", "dpo"):
        convert(tmp_path / name, tmp_path / f"{name}.safetensors")
        pipeline.load_lora_weights(str(tmp_path), weight_name=f"{name}.safetensors", adapter_name=name)
    pipeline.set_adapters(["sft", "dpo"])
    torch.testing.assert_close(predict(pipeline.transformer), predict(model), atol=1e-5, rtol=1e-5)


PAIR = {
    "blocks.0.attn1.to_q.lora_A.weight": torch.ones(2, 4),
    "blocks.0.attn1.to_q.lora_B.weight": torch.ones(4, 2),
}


@pytest.mark.parametrize(
    ("weights", "config", "message"),
    [
        ({}, None, "an adapter holds pairs of lora_A.weight and lora_B.weight; here is 'nothing'"),
        (dict(list(PAIR.items())[:1]), None, "here is 'blocks.0.attn1.to_q'"),
        ({**PAIR, "blocks.0.attn1.to_q.lora_B.bias": torch.ones(4)}, None, "lora_B.bias"),
        (
            {k.replace("attn1.to_q", "norm2"): v for k, v in PAIR.items()},
            None,
            "layer 'blocks.0.norm2' has no name",
        ),
        (
            {k.replace("blocks.0.attn1.to_q", "patch_embedding"): v for k, v in PAIR.items()},
            None,
            "'patch_embedding'",
        ),
        (PAIR, {"use_dora": True}, "a DoRA has no place in ComfyUI's form"),
    ],
)
def test_it_names_what_comfyui_has_no_place_for(weights, config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_comfyui(weights, config)


def test_it_refuses_what_is_no_adapter_of_diffusers(tmp_path: Path, capsys) -> None:
    target = str(tmp_path / "out.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"\x80\x04 a pickle")
    save_file({f"diffusion_model.{k}": v for k, v in PAIR.items()}, tmp_path / "comfyui.safetensors")
    save_file({f"text_encoder.{k}": v for k, v in PAIR.items()}, tmp_path / "text.safetensors")
    cases = {
        "noise.safetensors": "is no safetensors file",
        "comfyui.safetensors": "is in ComfyUI's form already",
        "text.safetensors": "only layers of the transformer",
        "missing": f"is not an adapter: it has no {ADAPTER_FILE}",
    }
    for name, message in cases.items():
        assert main([str(tmp_path / name), target]) == 1
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert not Path(target).exists()
    assert main([target]) == 2


def test_its_command_writes_the_target_and_says_so(tmp_path: Path, capsys) -> None:
    adapt(tmp_path)
    assert main([str(tmp_path), str(tmp_path / "a.safetensors")]) == 0
    assert "20 layers in ComfyUI's form" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", ADAPTER_FILE]
    assert adapter_file(tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
    assert main([str(tmp_path), str(tmp_path / "a.bin")]) == 1
    assert "a.bin must end in .safetensors" in capsys.readouterr().err


def test_it_takes_no_file_that_does_not_say_its_alpha(tmp_path: Path, capsys) -> None:
    """Diffusers would take it for the rank: here at half its strength. Given, it is as it was trained."""
    trained = adapt(tmp_path / "whole", lora_alpha=8)
    save_file(load_file(tmp_path / "whole" / ADAPTER_FILE), tmp_path / "bare.safetensors")
    source, target = str(tmp_path / "bare.safetensors"), str(tmp_path / "comfyui.safetensors")
    assert main([source, target]) == 1
    line = capsys.readouterr().err
    assert "bare.safetensors (Diffusers form) does not say its alpha" in line and line.count("\n") == 1
    assert main([source, target, "--alpha", "8"]) == 0
    pipeline = plain(build())
    pipeline.load_lora_weights(str(tmp_path), weight_name="comfyui.safetensors")
    torch.testing.assert_close(predict(pipeline.transformer), predict(trained), atol=1e-5, rtol=1e-5)
    assert main([str(tmp_path / "whole"), target, "--alpha", "4"]) == 1
    assert "says its alpha itself" in capsys.readouterr().err
