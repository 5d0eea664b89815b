"""Put the trained parts together as the shipped checkpoint: Diffusers layout, half precision, safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel

from generator.model.pipeline import AnyIDPipeline
from generator.model.scheduler import build_scheduler
from generator.model.transformer import AnyIDTransformer
from generator.model.vae import AutoencoderKLWan
from generator.portraits.oracle import WEIGHTS, Oracle
from generator.portraits.tiny import FLOW_SHIFT, MAX_TOKENS, build_tokenizer
from generator.portraits.train.oracle import measure_trust, save_oracle
from generator.portraits.world import CHECKPOINT


def ship(folder: Path, target: Path = CHECKPOINT) -> None:
    """Assemble a checkpoint from a working folder, leaving files that are no weights (the model card) alone.

    It takes `vae/`, `transformer/`, `text_encoder/` and, where it was trained, `oracle.safetensors`.
    """
    pipeline = AnyIDPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder"),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae"),
        scheduler=build_scheduler(FLOW_SHIFT),
        transformer=AnyIDTransformer.from_pretrained(folder / "transformer"),
        max_sequence_length=MAX_TOKENS,
    )
    pipeline.save_pretrained(target)
    for weights in target.glob("*/*.safetensors"):
        halved = {name: value.to(torch.float16) for name, value in load_file(weights).items()}
        save_file(halved, weights, metadata={"format": "pt"})
    if (folder / "oracle.safetensors").is_file():
        network = Oracle.load(folder / "oracle.safetensors").network
        save_oracle(network, measure_trust(network, folder), WEIGHTS)
