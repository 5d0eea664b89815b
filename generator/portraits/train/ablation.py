"""What the paper's model is without a primary reference and differential prompts: a LoRA on the shipped one.

It goes on from the shipped weights with captions of the target as prompts, so that no reference is more than
another and nothing says what stays. A LoRA, since a second transformer would not fit beside the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig
from peft.utils.save_and_load import get_peft_model_state_dict
from torch import Tensor

from generator.model.checkpoint import load_pipeline
from generator.model.precision import Precision
from generator.portraits.train.batches import Batch, Latents, cache_latents, draw_batch
from generator.portraits.train.optimiser import trapezoid
from generator.portraits.train.progress import Log, is_checkpoint, load_state, save_state
from generator.portraits.train.transformer import EMPTY_SHARE, Conditioned
from generator.portraits.world import CHECKPOINT

RANK = 8
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def train_ablation(
    folder: Path,
    steps: int,
    precision: Precision,
    *,
    lr: float = 1e-3,
    seed: int = 5,
    people: int = 2000,
    batch_size: int = 32,
    start: Path = CHECKPOINT,
) -> None:
    """Train the LoRA on the model `start` and write `ablation/` in the working folder, which holds `vae/`.

    It goes on from the last state. `people` of those drawn are encoded; `lr` is the peak of AdamW's rate.
    """
    torch.manual_seed(seed)
    latents = cache_latents(folder, people, precision)
    model = adapted(start, precision)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    state = folder / "ablation-state.pt"
    first, log = _restore(state, trained, optimiser), Log()
    for step in range(first, steps):
        batch, generator = _draw(latents, batch_size, seed, step)
        for group in optimiser.param_groups:
            group["lr"] = lr * trapezoid(step, steps)
        loss = model.loss(batch, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        log.add(step, loss=loss.item())
        if is_checkpoint(step, steps):
            weights = [value.detach() for value in trained]
            save_state(state, weights=weights, optimiser=optimiser.state_dict(), step=step + 1)
            save(model, start, folder / "ablation")


def adapted(start: Path, precision: Precision) -> Conditioned:
    """The model of a checkpoint, frozen, with a fresh LoRA that trains."""
    model = Conditioned(precision)
    model.begin_with(start)
    model.requires_grad_(False)
    model.transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS))
    return model


def save(model: Conditioned, start: Path, folder: Path) -> None:
    """Write the LoRA as Diffusers reads it, in half precision."""
    weights = {name: value.half() for name, value in get_peft_model_state_dict(model.transformer).items()}
    config = model.transformer.peft_config["default"].to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    type(load_pipeline(start)).save_lora_weights(
        folder, transformer_lora_layers=weights, transformer_lora_adapter_metadata=config
    )


def _draw(latents: Latents, size: int, seed: int, step: int) -> tuple[Batch, torch.Generator]:
    rng = np.random.default_rng([seed, step])
    batch = draw_batch(latents, size, rng, "standard")
    if rng.random() < EMPTY_SHARE:
        empty = latents.empty.expand(size, -1, -1, -1, -1)
        batch = Batch(batch.clean, empty, [""] * size)
    return batch, torch.Generator().manual_seed(int(rng.integers(2**62)))


def _restore(state: Path, trained: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> int:
    saved = load_state(state)
    if saved is None:
        return 0
    with torch.no_grad():
        for value, kept in zip(trained, saved["weights"], strict=True):
            value.copy_(kept)
    optimiser.load_state_dict(saved["optimiser"])
    return int(saved["step"])
