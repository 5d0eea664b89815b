"""Put the trained parts together as the shipped checkpoint: Diffusers layout, half precision, safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel

from generator.model.pipeline import AnyIDPipeline
from generator.model.tiny import MAX_TOKENS, build_scheduler, build_tokenizer
from generator.model.transformer import AnyIDTransformer
from generator.model.vae import AutoencoderKLWan
from generator.portraits.oracle import WEIGHTS, Oracle
from generator.portraits.train.measure import draw_sheet, draw_trials, sample_trials, score
from generator.portraits.train.oracle import measure_trust, save_oracle
from generator.portraits.world import CHECKPOINT


def ship(folder: Path, target: Path = CHECKPOINT) -> None:
    """Assemble a checkpoint from a working folder, leaving files that are no weights (the model card) alone.

    Args:
        folder: with `vae/`, `transformer/`, `text_encoder/` and, where it was trained, `oracle.safetensors`.
        target: the checkpoint's folder.
    """
    pipeline = AnyIDPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder"),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae"),
        scheduler=build_scheduler(),
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


def measure(folder: Path, *, per_person: int = 3, checkpoint: Path = CHECKPOINT) -> None:
    """Measure the shipped checkpoint; figures go to `measures.json` beside it, pictures to the folder.

    Args:
        folder: working folder.
        per_person: trials a held-out person.
        checkpoint: its folder.
    """
    from generator.model.checkpoint import load_pipeline

    pipeline, oracle = load_pipeline(checkpoint), Oracle.load()
    figures = {}
    for name, num_references in (("references_4", 4), ("references_1", 1)):
        trials = draw_trials(per_person, num_references)
        clips = sample_trials(pipeline, trials)
        figures[name] = score(trials, clips, oracle)
        draw_sheet(trials[::per_person][:12], clips[::per_person][:12], folder / f"{name}.png")
        print(name, json.dumps(figures[name]), flush=True)
    (checkpoint / "measures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
