"""Adapters of other programs mean here what they mean there, or are refused in one line with a remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from diffusers import WanPipeline  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from peft.utils import get_peft_model_state_dict  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from generator.adapter_files import ADAPTER_FILE, PEFT_CONFIG, PEFT_FILE  # noqa: E402
from generator.model.adapters.adapter import put_on, read_adapter  # noqa: E402
from generator.model.adapters.layer_names import original_layer  # noqa: E402
from generator.model.lora import convert  # noqa: E402
from generator.model.pipeline import AnyIDPipeline  # noqa: E402
from generator.model.scheduler import build_scheduler  # noqa: E402
from generator.model.transformer import AnyIDTransformer  # noqa: E402
from tests.generator.model.loras import ALPHAS, BLOCK_LAYERS, CONFIG, adapt, build, predict  # noqa: E402


def loaded(path: Path, alpha: float | None = None) -> torch.Tensor:
    """What the model predicts with an adapter."""
    transformer = build()
    put_on(transformer, read_adapter(path, alpha=alpha), "loaded")
    return predict(transformer)


def as_peft(folder: Path, **settings) -> torch.Tensor:
    """An adapter that PEFT itself trained and wrote."""
    config = LoraConfig(**{"r": 4, "target_modules": BLOCK_LAYERS, "init_lora_weights": False, **settings})
    torch.manual_seed(3)
    model = get_peft_model(build(), config)
    model.save_pretrained(folder)
    return predict(model.base_model.model)


@ALPHAS
def test_pefts_own_files_mean_the_same_here(tmp_path: Path, settings) -> None:
    expected = as_peft(tmp_path, **settings)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".md") == [
        PEFT_CONFIG,
        PEFT_FILE,
    ]
    for path in (tmp_path, tmp_path / PEFT_FILE):
        torch.testing.assert_close(loaded(path), expected, atol=1e-5, rtol=1e-5)
    convert(tmp_path, tmp_path / "comfyui.safetensors")
    torch.testing.assert_close(loaded(tmp_path / "comfyui.safetensors"), expected, atol=1e-5, rtol=1e-5)


def diffsynth(name: str) -> str:
    layer, half = name.removeprefix("transformer.").split(".lora_")
    return f"{original_layer(layer)}.lora_{half.replace('.weight', '.default.weight')}"


RENAMED: dict[str, Callable[[str], str]] = {
    "DiffSynth": diffsynth,
    "DiffSynth, older": lambda name: diffsynth(name).replace(".default", ""),
    "DiffSynth, whole pipeline": lambda name: "pipe.dit." + diffsynth(name),
    "ComfyUI": lambda name: "diffusion_model." + diffsynth(name).replace(".default", ""),
    "ComfyUI, down and up": lambda name: (
        "diffusion_model."
        + diffsynth(name).replace(".default", "").replace("lora_A", "lora_down").replace("lora_B", "lora_up")
    ),
    "kohya": lambda name: (
        "lora_unet_"
        + diffsynth(name).split(".lora_")[0].replace(".", "_")
        + (".lora_down.weight" if "lora_A" in name else ".lora_up.weight")
    ),
}


@pytest.mark.parametrize("form", RENAMED)
def test_other_names_are_converted(tmp_path: Path, form: str, caplog) -> None:
    """Programs that store no alpha add B @ A as it is, which is what alpha = rank means."""
    trained = adapt(tmp_path / "own", lora_alpha=4, target_modules=[*BLOCK_LAYERS, "time_proj", "linear_1"])
    weights = {
        RENAMED[form](name): value for name, value in load_file(tmp_path / "own" / ADAPTER_FILE).items()
    }
    save_file(weights, tmp_path / "renamed.safetensors")
    read = read_adapter(tmp_path / "renamed.safetensors")
    assert read.form == form.split(",")[0]
    assert "renamed.safetensors" in caplog.text and "it is taken for the rank" in caplog.text
    torch.testing.assert_close(
        loaded(tmp_path / "renamed.safetensors"), predict(trained), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("form", ["ComfyUI", "kohya"])
def test_alphas_beside_the_weights_count(tmp_path: Path, form: str) -> None:
    trained = adapt(tmp_path / "own", lora_alpha=12)
    weights = {
        RENAMED[form](name): value for name, value in load_file(tmp_path / "own" / ADAPTER_FILE).items()
    }
    downs = [name for name in weights if "lora_A" in name or "lora_down" in name]
    weights |= {f"{name.split('.lora_')[0]}.alpha": torch.tensor(12.0) for name in downs}
    save_file(weights, tmp_path / "renamed.safetensors")
    torch.testing.assert_close(
        loaded(tmp_path / "renamed.safetensors"), predict(trained), atol=1e-5, rtol=1e-5
    )


def test_a_file_without_its_config_is_refused_until_somebody_says_its_alpha(tmp_path: Path) -> None:
    """Alpha is three times the rank, so that without it the adapter would act at a third of its strength."""
    trained = predict(adapt(tmp_path / "own", lora_alpha=12))
    (tmp_path / "bare").mkdir()
    save_file(load_file(tmp_path / "own" / ADAPTER_FILE), tmp_path / "bare" / ADAPTER_FILE)
    in_peft = as_peft(tmp_path / "peft", lora_alpha=12)
    config = (tmp_path / "peft" / PEFT_CONFIG).read_text()
    (tmp_path / "peft" / PEFT_CONFIG).unlink()
    for path, form, expected in (
        (tmp_path / "bare", "Diffusers", trained),
        (tmp_path / "peft", "PEFT", in_peft),
    ):
        with pytest.raises(ValueError, match=rf"\({form} form\) does not say its alpha.*--alpha A") as caught:
            read_adapter(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        torch.testing.assert_close(loaded(path, alpha=12), expected, atol=1e-5, rtol=1e-5)
        assert (loaded(path, alpha=4) - expected).abs().max() > 1e-3
        (path / PEFT_CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 4}))  # without lora_alpha
        with pytest.raises(ValueError, match="does not say its alpha"):
            read_adapter(path)
        (path / PEFT_CONFIG).write_text(config)
        torch.testing.assert_close(loaded(path), expected, atol=1e-5, rtol=1e-5)


def test_a_header_of_a_later_peft_is_read(tmp_path: Path) -> None:
    trained = predict(adapt(tmp_path, lora_alpha=12))
    header = {"transformer.r": 4, "transformer.lora_alpha": 12, "transformer.invented_later": True}
    weights = load_file(tmp_path / ADAPTER_FILE)
    save_file(weights, tmp_path / ADAPTER_FILE, {"lora_adapter_metadata": json.dumps(header), "format": "pt"})
    torch.testing.assert_close(loaded(tmp_path), trained, atol=1e-5, rtol=1e-5)


def wider() -> AnyIDTransformer:
    return AnyIDTransformer(**{**CONFIG, "num_attention_heads": 3}).eval()


def test_an_adapter_of_a_wider_base_is_refused(tmp_path: Path) -> None:
    model = wider()
    model.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q"]))
    WanPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata={"r": 4, "lora_alpha": 8, "target_modules": ["to_q"]},
    )
    with pytest.raises(
        ValueError,
        match=r"\(Diffusers form\) takes 36 numbers and gives 36 at 'blocks\.0\.attn1\.to_q', where this "
        r"model has 24 and 24: it is of another base; load it on the base that it was trained on",
    ):
        loaded(tmp_path)


PAIR = {"lora_A.weight": torch.ones(2, 24), "lora_B.weight": torch.ones(24, 2)}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {f"transformer.blocks.{n}.attn1.to_q.{half}": v for n in (0, 7, 8) for half, v in PAIR.items()},
            r"\(Diffusers form\) adapts 'blocks\.7\.attn1\.to_q' and 1 more, no linear layer of this model",
        ),
        (
            {f"diffusion_model.blocks.0.cross_attn.k_img.{half}": v for half, v in PAIR.items()},
            r"\(ComfyUI form\) adapts 'blocks\.0\.cross_attn\.k_img', no linear layer",
        ),
        ({f"unet.down.0.{half}": v for half, v in PAIR.items()}, "only layers of the transformer are read"),
        (
            {f"transformer.blocks.0.attn1.to_q.{half}": v for half, v in list(PAIR.items())[:1]},
            r"\(Diffusers form\) holds one half of 'blocks\.0\.attn1\.to_q'",
        ),
        (
            {"transformer.blocks.0.attn1.to_q.lora_magnitude_vector": torch.ones(4)},
            r"\(Diffusers form\) holds '.*lora_magnitude_vector'; an adapter holds pairs .* plain LoRA",
        ),
        ({"diffusion_model.blocks.0.ffn.0.lokr_w1": torch.ones(4, 4)}, r"\(ComfyUI form\) holds '.*lokr_w1'"),
        (
            {
                **{f"transformer.blocks.0.attn1.to_q.{half}": v for half, v in PAIR.items()},
                **{f"diffusion_model.blocks.0.self_attn.k.{half}": v for half, v in PAIR.items()},
            },
            "mixes the forms ComfyUI, Diffusers",
        ),
        (
            {
                f"base_model.model.blocks.0.attn1.to_q.lora_{half}.{name}.weight": PAIR[f"lora_{half}.weight"]
                for half in "AB"
                for name in ("default", "other")
            },
            r"\(PEFT form\) holds several adapters of 'blocks\.0\.attn1\.to_q'",
        ),
        (
            {f"transformer.blocks.0.attn1.to_q.{half}": v * float("nan") for half, v in PAIR.items()},
            r"blocks\.0\.attn1\.to_q\.lora_A\.weight is not finite",
        ),
    ],
)
def test_what_cannot_be_loaded_is_named_with_file_form_and_remedy(
    tmp_path: Path, weights, message: str
) -> None:
    path = tmp_path / "strange.safetensors"
    header = {"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 2}), "format": "pt"}
    save_file({name: value.clone() for name, value in weights.items()}, path, header)
    with pytest.raises(ValueError, match=message) as caught:
        loaded(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04 a pickle")
    for path in (tmp_path, tmp_path / "adapter_model.bin"):
        with pytest.raises(ValueError, match=r"adapter_model\.bin is a pickle.*save it with safetensors"):
            read_adapter(path)


def test_the_pipeline_reads_them_by_itself_too(tmp_path: Path) -> None:
    expected = as_peft(tmp_path / "peft", lora_alpha=12)
    pipeline = AnyIDPipeline(None, None, None, build_scheduler(3.0), transformer=build())
    pipeline.load_lora_weights(tmp_path / "peft", "mine")
    torch.testing.assert_close(predict(pipeline.transformer), expected, atol=1e-5, rtol=1e-5)
    assert pipeline.get_active_adapters() == ["mine"]
    shutil.copy(tmp_path / "peft" / PEFT_FILE, tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match="does not say its alpha"):
        pipeline.load_lora_weights(str(tmp_path), weight_name="bare.safetensors")
    pipeline.load_lora_weights(str(tmp_path), "second", weight_name="bare.safetensors", alpha=12)
    assert set(pipeline.get_list_adapters()["transformer"]) == {"mine", "second"}
