"""Small transformers with adapters, and what they predict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import WanPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from generator.model.transformer import AnyIDTransformer

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
BLOCK_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]
ENDS = ["time_proj", "linear_1", "linear_2", "proj_out"]


def build() -> AnyIDTransformer:
    torch.manual_seed(0)
    return AnyIDTransformer(**CONFIG).eval()


def adapt(folder: Path, seed: int = 1, **settings) -> AnyIDTransformer:
    """A model with a LoRA whose A and B are random, saved as the trainers save it."""
    model = build()
    config = LoraConfig(**{"r": 4, "target_modules": BLOCK_LAYERS, "init_lora_weights": False, **settings})
    torch.manual_seed(seed)
    model.add_adapter(config)
    kept = ("r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora")
    metadata = {key: getattr(config, key) for key in kept}
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata=metadata | {"target_modules": sorted(config.target_modules)},
    )
    return model


def inputs():
    generator = torch.Generator().manual_seed(5)
    target, references = torch.randn(2, 1, 4, 2, 4, 6, generator=generator)
    return target, torch.tensor([700.0]), torch.randn(1, 5, 8, generator=generator), references


@torch.no_grad()
def predict(transformer) -> torch.Tensor:
    """The velocity given references, by either class: upstream's needs a timestep for every token."""
    target, timestep, text, references = inputs()
    if isinstance(transformer, AnyIDTransformer):
        return transformer(target, timestep, text, references).sample
    times = torch.cat([timestep[:, None].expand(1, 12), torch.zeros(1, 12)], dim=1)
    return transformer(torch.cat([target, references], 2), times, text).sample[:, :, :2]


ALPHAS = pytest.mark.parametrize(
    "settings",
    [
        {"lora_alpha": 4},
        {"lora_alpha": 8},
        {"lora_alpha": 1, "target_modules": BLOCK_LAYERS + ENDS},
        {"lora_alpha": 3, "use_rslora": True},
        {
            "lora_alpha": 8,
            "rank_pattern": {"to_q": 2, "blocks.1.attn2.to_v": 3},
            "alpha_pattern": {"ffn.net.2": 6, "blocks.0.attn1.to_q": 5},
        },
    ],
    ids=["alpha is the rank", "twice the rank", "less than the rank, everywhere", "rsLoRA", "patterns"],
)


def write_lora(file: Path, base: str | Path, *, seed: int = 1) -> Path:
    """A LoRA for the transformer of a base, as somebody else might have trained it."""
    with torch.device("meta"):
        model = AnyIDTransformer.from_config(AnyIDTransformer.load_config(Path(base) / "transformer"))
    model = model.to_empty(device="cpu")
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    model.add_adapter(config)
    folder = file.parent / f"{file.stem}-folder"
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata={"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_v"]},
    )
    file.write_bytes((folder / "pytorch_lora_weights.safetensors").read_bytes())
    return file
