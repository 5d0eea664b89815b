"""Wan2.2-TI2V-5B at full size with random weights: seconds and memory of a denoising step, on a GPU.

    python -m bench.wan5b [--compile] [--attention NAME] [--rounds N] [--tiny]

A step of the sampler is one pass with the references and one with the unified empty condition, at 1280x704
and 121 frames. `matrix_share` is the step's matrix arithmetic by its time, as a share of the rate that this
machine reaches on one large bf16 product. `--tiny` runs the same lines on the tiny model's configuration and
the CPU, to show that they run; its figures mean nothing for the 5B model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.timing import quartiles, report, seconds
from generator.model import wan
from generator.model.kernels import choose_attention, compile_blocks
from generator.model.pipeline import guide
from generator.model.transformer import AnyIDTransformer
from generator.portraits.tiny import build_tiny_pipeline

#: Frames of every reference of a case.
REFERENCES = {"none": (), "1 still": (1,), "3 stills": (1,) * 3, "5 stills": (1,) * 5, "33-frame clip": (33,)}


@dataclass(frozen=True)
class Scale:
    """What is built and at which size.

    Attributes:
        name: of the JSON file.
        transformer: its configuration.
        vae: its configuration, for the shapes of latents.
        matrix_side: rows of the square product that measures the machine.
    """

    name: str
    transformer: Mapping[str, Any]
    vae: Mapping[str, Any]
    height: int
    width: int
    num_frames: int
    prompt_tokens: int
    device: str
    dtype: torch.dtype
    matrix_side: int


def full_scale() -> Scale:
    return Scale(
        name="wan5b",
        transformer=wan.TRANSFORMER,
        vae=wan.VAE,
        height=wan.HEIGHT,
        width=wan.WIDTH,
        num_frames=wan.NUM_FRAMES,
        prompt_tokens=wan.PROMPT_TOKENS,
        device="cuda",
        dtype=torch.bfloat16,
        matrix_side=8192,
    )


def tiny_scale() -> Scale:
    tiny = build_tiny_pipeline()
    keys = (*wan.TRANSFORMER, "reference_position")
    return Scale(
        name="wan5b-tiny",
        transformer={key: tiny.transformer.config[key] for key in keys},
        vae=tiny.vae.config,
        height=64,
        width=64,
        num_frames=9,
        prompt_tokens=tiny.config.max_sequence_length,
        device="cpu",
        dtype=torch.float32,
        matrix_side=256,
    )


def main(arguments: Sequence[str] = ()) -> None:
    options = _parse(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("wan5b: there is no GPU here, so nothing was measured (--tiny runs the same lines on the CPU)")
        return
    measure(tiny_scale() if options.tiny else full_scale(), options)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.wan5b")
    parser.add_argument("--tiny", action="store_true", help="the tiny configuration on the CPU")
    parser.add_argument("--compile", action="store_true", help="compile the repeated blocks")
    parser.add_argument("--attention", help="backend; _native_cudnn on a GPU, native on the CPU")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each case")
    return parser.parse_args(arguments)


@torch.no_grad()
def measure(scale: Scale, options: argparse.Namespace) -> None:
    """Print and write seconds per step, peak memory and share of the matrix rate for every case."""
    transformer = wan.build_transformer(scale.transformer, device=scale.device, dtype=scale.dtype)
    attention = options.attention or ("_native_cudnn" if scale.device == "cuda" else "native")
    choose_attention(transformer, attention)
    if options.compile:
        compile_blocks(transformer)
    rate = matrix_rate(scale)
    steps = {name: _step(transformer, scale, frames) for name, frames in REFERENCES.items()}
    peaks = {name: _peak_bytes(step, scale) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    # Turn by turn, so that a GPU that grows warm slows every case alike.
    for _ in range(options.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
    rows = [_row(scale, name, times[name], peaks[name], rate) for name in steps]
    report(
        scale.name,
        rows,
        attention=attention,
        compiled=options.compile,
        matrix_tflops=rate / 1e12,
        parameters=sum(parameter.numel() for parameter in transformer.parameters()),
    )


def matrix_rate(scale: Scale) -> float:
    """FLOP a second of one large product in the model's type: the best of some runs."""
    side = scale.matrix_side
    left, right = torch.randn(2, side, side, device=scale.device, dtype=scale.dtype)

    def multiply() -> None:
        for _ in range(10):
            left @ right
        _wait(scale)

    multiply()
    return 10 * 2 * side**3 / min(seconds(multiply) for _ in range(5))


def _step(transformer: AnyIDTransformer, scale: Scale, frames: Sequence[int]) -> Callable[[], None]:
    """One guided step: the pass with references, the empty pass, and their combination."""

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(1, *shape, device=scale.device, dtype=scale.dtype)

    channels, target_frames, *side = _latent(scale, scale.num_frames)
    shown = sum(_latent(scale, count)[1] for count in frames)
    target = noise(channels, target_frames, *side)
    prompt, nothing = (noise(scale.prompt_tokens, scale.transformer["text_dim"]) for _ in range(2))
    references = noise(channels, shown, *side) if shown else None
    empty = noise(channels, 1, *side) if shown else None
    timestep = torch.tensor([500.0], device=scale.device)

    def step() -> None:
        full = transformer(target, timestep, prompt, references, return_dict=False)[0]
        unconditional = transformer(target, timestep, nothing, empty, return_dict=False)[0]
        guide(unconditional.float(), full.float(), wan.GUIDANCE_SCALE)
        _wait(scale)

    return step


def _row(scale: Scale, name: str, times: Sequence[float], peak: int | None, rate: float) -> dict[str, Any]:
    low, middle, high = quartiles(times)
    target = _tokens(scale, scale.num_frames)
    tokens = target + sum(_tokens(scale, count) for count in REFERENCES[name])
    empty = target + (_tokens(scale, 1) if REFERENCES[name] else 0)
    flops = sum(
        wan.count_forward_flops(count, scale.prompt_tokens, scale.transformer) for count in (tokens, empty)
    )
    return {
        "references": name,
        "tokens": tokens,
        "step_s": middle,
        "quartiles": [low, high],
        "peak_gib": None if peak is None else peak / 2**30,
        "tflops": flops / middle / 1e12,
        "matrix_share": flops / middle / rate,
    }


def _latent(scale: Scale, num_frames: int) -> tuple[int, int, int, int]:
    return wan.latent_shape(num_frames, scale.height, scale.width, scale.vae)


def _tokens(scale: Scale, num_frames: int) -> int:
    return wan.count_tokens(
        num_frames, scale.height, scale.width, vae=scale.vae, transformer=scale.transformer
    )


def _peak_bytes(step: Callable[[], None], scale: Scale) -> int | None:
    """The most memory that a warm step takes, weights included; unknown on the CPU."""
    step()
    if scale.device != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated()


def _wait(scale: Scale) -> None:
    if scale.device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(sys.argv[1:])
