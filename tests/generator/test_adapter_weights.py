"""Adapters with weights: what a pipeline of them predicts, and what a registered one keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from generator.adapter_files import adapters_in
from generator.model.adapters.adapter import read_adapter, write_adapter
from generator.model.checkpoint import load_pipeline
from generator.portraits.tiny import build_tiny_pipeline
from tests.generator.model.loras import write_lora


@pytest.fixture
def base(tmp_path: Path) -> Path:
    build_tiny_pipeline().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def layer_of(base: Path, adapters: list[Path], weights: list[float] | None) -> torch.Tensor:
    """What a layer adds to its base, for every unit vector."""
    layer = load_pipeline(base, adapters, weights=weights).transformer.blocks[0].attn1.to_q
    plain = getattr(layer, "base_layer", layer)
    vectors = torch.eye(plain.in_features)
    return layer(vectors) - plain(vectors)


def test_weighted_adapters_add_up(base: Path, tmp_path: Path) -> None:
    """W + sum of w_i B_i A_i, whatever their order."""
    files = [write_lora(tmp_path / f"{seed}.safetensors", base, seed=seed) for seed in (1, 2)]
    alone = [layer_of(base, [file], None) for file in files]
    assert alone[0].abs().max() > 0.01
    mixed = layer_of(base, files, [0.5, -1.25])
    torch.testing.assert_close(mixed, 0.5 * alone[0] - 1.25 * alone[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer_of(base, files[::-1], [-1.25, 0.5]), mixed, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer_of(base, files, None), alone[0] + alone[1], atol=1e-5, rtol=1e-4)


def test_requests_name_weights_only_where_they_are_not_one() -> None:
    assert adapters_in({}) == []
    assert adapters_in({"adapters": ["a", {"path": "b", "weight": 0.5}]}) == [("a", 1.0), ("b", 0.5)]


def test_an_adapter_of_another_form_means_the_same_when_it_is_kept(base: Path, tmp_path: Path) -> None:
    from generator.model.lora import convert

    file = write_lora(tmp_path / "ours.safetensors", base)
    convert(file, tmp_path / "comfyui.safetensors")
    adapter = read_adapter(tmp_path / "comfyui.safetensors")
    assert adapter.form == "ComfyUI"
    write_adapter(adapter, tmp_path / "kept.safetensors")
    kept = read_adapter(tmp_path / "kept.safetensors")
    assert kept.form == "Diffusers"
    again = layer_of(base, [tmp_path / "kept.safetensors"], None)
    torch.testing.assert_close(again, layer_of(base, [file], None), atol=1e-5, rtol=1e-4)
