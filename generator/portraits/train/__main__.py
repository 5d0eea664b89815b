"""`python -m generator.portraits.train {vae,oracle} --folder DIR`: see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from generator.portraits.train.oracle import train_oracle
from generator.portraits.train.vae import train_vae

PARTS = {"vae": train_vae, "oracle": train_oracle}


def main() -> None:
    """Read the command line and train one part."""
    parser = argparse.ArgumentParser(prog="python -m generator.portraits.train", description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--folder", type=Path, default=Path("var/train"), help="working folder; made when missing")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each process; 0: all")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    PARTS[arguments.part](arguments.folder, arguments.steps, lr=arguments.lr)


if __name__ == "__main__":
    main()
