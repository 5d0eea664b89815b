"""Wan2.2-TI2V-5B at full size with random weights: seconds and memory of a Flow-DPO step, on a GPU.

    python -m bench.dpo5b [--compile] [--attention NAME] [--kept NAME] [--split] [--rounds N] [--tiny]

A step is one pair with a LoRA of rank 64: both branches forward and backward with the guard, and the
optimizer; the frozen policy's errors are known, as they are from the second pass on. `floor_s` is the least
matrix arithmetic of that, without recomputing anything, at the rate that this machine reaches on one large
bf16 product: twice the linear layers' forward (frozen weights get no gradient), 3.5 times attention's and 3
times the adapter's, for each branch. `times_floor` is the measured step by it. `--tiny` runs the same lines
on the tiny model's configuration and the CPU, to show that they run; its figures mean nothing for the 5B
model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch

from bench.timing import quartiles, report, seconds
from bench.wan5b import Scale, full_scale, matrix_rate, tiny_scale
from generator.model import wan
from rlhf.dpo.config import WAN_5B, FlowDPOConfig
from rlhf.dpo.policy import FlowPolicy
from rlhf.objectives import flow_dpo_loss
from rlhf.training.config import Kept
from rlhf.training.draws import Tensors
from rlhf.training.lora import add_adapter
from rlhf.training.precision import set_up

#: Height and width in pixels; the frames are the model's 121.
SIZES = ((480, 832), (704, 1280))
#: References, all stills.
REFERENCES = (0, 3, 5)


def main(arguments: Sequence[str] = ()) -> None:
    options = _parse(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("dpo5b: there is no GPU here, so nothing was measured (--tiny runs the same lines on the CPU)")
        return
    scale = tiny_scale() if options.tiny else full_scale()
    sizes = ((scale.height, scale.width),) if options.tiny else SIZES
    measure(scale, sizes, options)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.dpo5b")
    parser.add_argument("--tiny", action="store_true", help="the tiny configuration on the CPU")
    parser.add_argument("--compile", action="store_true", help="compile the repeated blocks")
    parser.add_argument("--attention", help="backend; _native_cudnn on a GPU, native on the CPU")
    parser.add_argument(
        "--kept", choices=(*get_args(Kept), "all"), default="attention", help="activations kept"
    )
    parser.add_argument("--split", action="store_true", help="one branch at a time")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each case")
    return parser.parse_args(arguments)


def measure(scale: Scale, sizes: Sequence[tuple[int, int]], options: argparse.Namespace) -> None:
    """Print and write seconds per pair, peak memory and distance from the floor for every case."""
    on_gpu = scale.device == "cuda"
    config = replace(
        WAN_5B,
        compiled=options.compile,
        attention=options.attention or ("_native_cudnn" if on_gpu else "native"),
        gradient_checkpointing=options.kept != "all",
        kept_activations=options.kept if options.kept != "all" else "none",
        split_branches=options.split,
        bf16=on_gpu,
    )
    policy, optimizer = build(scale, config)
    rate = matrix_rate(scale)
    rows = []
    for height, width in sizes:
        sized = replace(scale, height=height, width=width)
        for count in REFERENCES:
            step = pair_step(policy, optimizer, sized, count, config)
            peak = _peak_bytes(step, on_gpu)
            times = [seconds(step) for _ in range(options.rounds)]
            rows.append(_row(sized, count, times, peak, rate))
    name = f"{scale.name.replace('wan5b', 'dpo5b')}"
    report(name, rows, matrix_tflops=rate / 1e12, config=config.to_json())


def build(scale: Scale, config: FlowDPOConfig) -> tuple[FlowPolicy, torch.optim.Optimizer]:
    """The policy with its adapter, and the optimizer of it."""
    transformer = wan.build_transformer(scale.transformer, device=scale.device, dtype=scale.dtype)
    add_adapter(transformer, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed)
    set_up(transformer, config)
    policy = FlowPolicy(transformer, guard_mu=config.guard_mu, split_branches=config.split_branches)
    trained = [value for value in policy.parameters() if value.requires_grad]
    return policy, torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)


def pair_step(
    policy: FlowPolicy, optimizer: torch.optim.Optimizer, scale: Scale, count: int, config: FlowDPOConfig
) -> Callable[[], None]:
    """A whole step on one pair of noise-like latents with so many stills."""

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=scale.device)

    channels, frames, *side = wan.latent_shape(scale.num_frames, scale.height, scale.width, scale.vae)
    draw: Tensors = {
        "clean": noise(2, channels, frames, *side),
        "noise": noise(channels, frames, *side),
        "references": noise(channels, count, *side),
        "prompt_embeds": noise(scale.prompt_tokens, scale.transformer["text_dim"]),
        "time": torch.tensor(0.5, device=scale.device),
    }

    def step() -> None:
        errors, _ = policy([draw])
        flow_dpo_loss(errors, errors.detach(), beta=config.beta).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        if scale.device == "cuda":
            torch.cuda.synchronize()

    return step


def floor_flops(tokens: int, scale: Scale) -> float:
    """The least matrix arithmetic of a step on one pair, see above."""
    config, prompt = scale.transformer, scale.prompt_tokens
    width, layers = config["num_attention_heads"] * config["attention_head_dim"], config["num_layers"]
    attention = 4 * width * (tokens**2 + tokens * prompt) * layers
    linear = wan.count_forward_flops(tokens, prompt, config) - attention
    # Six square layers and two of the feed-forward read the tokens, two square ones the prompt.
    read = tokens * (12 * width + 2 * (width + config["ffn_dim"])) + prompt * 4 * width
    adapter = 2 * WAN_5B.rank * read * layers
    return 2 * (2 * linear + 3.5 * attention + 3 * adapter)


def _row(scale: Scale, count: int, times: Sequence[float], peak: int | None, rate: float) -> dict[str, Any]:
    low, middle, high = quartiles(times)
    target, still = (
        wan.count_tokens(frames, scale.height, scale.width, vae=scale.vae, transformer=scale.transformer)
        for frames in (scale.num_frames, 1)
    )
    tokens = target + count * still
    flops = floor_flops(tokens, scale)
    return {
        "size": f"{scale.width}x{scale.height}x{scale.num_frames}",
        "references": count,
        "tokens": tokens,
        "step_s": middle,
        "quartiles": [low, high],
        "peak_gib": None if peak is None else peak / 2**30,
        "floor_pflop": flops / 1e15,
        "floor_s": flops / rate,
        "times_floor": middle * rate / flops,
    }


def _peak_bytes(step: Callable[[], None], on_gpu: bool) -> int | None:
    """The most memory that a warm step takes, weights included; unknown on the CPU."""
    step()
    if not on_gpu:
        return None
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    main(sys.argv[1:])
