"""Train the shipped checkpoint: `python -m generator.portraits.train PART --folder DIR`.

Parts, in order: vae, narrow, vae again, oracle, transformer, ship (puts them together), ablation (a LoRA
without primary and differential prompts). `python -m bench portraits` then measures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from generator.model.precision import settle_precision
from generator.portraits.train.ablation import train_ablation
from generator.portraits.train.oracle import train_oracle
from generator.portraits.train.ship import ship
from generator.portraits.train.transformer import train_transformer
from generator.portraits.train.vae import narrow, train_vae

TRAINED: dict[str, Callable[..., None]] = {
    "vae": train_vae,
    "oracle": train_oracle,
    "transformer": train_transformer,
    "ablation": train_ablation,
}
OTHERS: dict[str, Callable[..., None]] = {"narrow": narrow, "ship": ship}


def main() -> None:
    """Read the command line and do one part."""
    parser = argparse.ArgumentParser(prog="python -m generator.portraits.train", description=__doc__)
    parser.add_argument("part", choices=[*TRAINED, *OTHERS])
    parser.add_argument(
        "--folder", type=Path, default=Path("var/train"), help="working folder; made when missing"
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, help="of weights and batches; each part has its own default")
    parser.add_argument(
        "--start", type=Path, help="checkpoint whose transformer and text encoder to begin with"
    )
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        help="numbers of the products; left out, what this CPU is fast at. A folder keeps what it began with",
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each process; 0: all")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.part in OTHERS:
        OTHERS[arguments.part](arguments.folder)
        return
    chosen = {
        name: getattr(arguments, name) for name in ("seed", "start") if getattr(arguments, name) is not None
    }
    if "start" in chosen and arguments.part not in ("transformer", "ablation"):
        parser.error(f"--start is for the transformer and the ablation; {arguments.part} begins at random")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        precision = settle_precision(arguments.folder, arguments.bf16, device="cpu")
    except ValueError as error:
        parser.error(str(error))
    print(f"{arguments.part} {precision}", flush=True)
    TRAINED[arguments.part](arguments.folder, arguments.steps, precision, lr=arguments.lr, **chosen)


if __name__ == "__main__":
    main()
