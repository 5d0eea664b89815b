"""The frozen policy's answers: asked for, or read from a bank that was made of exactly this policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from generator.rundir import RunError
from rlhf.dpo.bank import ReferenceBank
from rlhf.dpo.branch_parallel import Partner
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.policy import FlowPolicy
from rlhf.training import processes
from rlhf.training.cache import digest, frozen_sha256
from rlhf.training.draws import PairDraws, Tensors
from rlhf.training.lora import frozen_policy
from rlhf.training.sharding import is_sharded

#: What of a config decides which draws there are and in which batches and in which precision they are met.
_DECISIVE = (
    *("seed", "batch_size", "draws_per_pair", "split_branches", "branch_parallel"),
    *("bf16", "attention", "compiled", "sharded"),
    *("time_mean", "time_std", "time_shift", "time_low", "time_high", "time_strata"),
)


def ref_errors(
    policy: FlowPolicy,
    draws: Sequence[Tensors],
    bank: ReferenceBank | None,
    partner: Partner | None = None,
) -> Tensor:
    """Errors of the frozen policy, (2, B), from the bank where there is one that knows them.

    Args:
        policy: with the adapter in any state, since its scale is 0 meanwhile.
        draws: B items of `rlhf.training.draws.PairDraws`.
        bank: None asks the policy.
        partner: see `FlowPolicy.forward`.

    Raises:
        RunError: a bank was to get an answer that is not finite.
    """

    def compute(draws: Sequence[Tensors]) -> Tensor:
        with frozen_policy(policy):
            errors: Tensor = policy(draws, partner)[0]
        return errors

    if bank is None:
        return compute(draws)
    # Partners agree on what the bank knows before either asks: another run may write in between, and one that
    # asks alone would wait for ever.
    errors = bank.errors(draws, compute, partner, in_step=is_sharded(policy.transformer))
    for draw, answer in zip(draws, errors.T.tolist(), strict=True):
        if not np.isfinite(answer).all():
            raise RunError(
                f"{bank.path}: entry {int(draw['entry'])}: the frozen policy answers {answer} (chosen, "
                "rejected), which is not finite; check the weights of the base model and its adapters"
            )
    return errors


def open_bank(
    folder: Path,
    config: FlowDPOConfig,
    frozen: Mapping[str, Any],
    pair_keys: Sequence[str],
    draws_per_pair: int,
) -> ReferenceBank:
    """The bank of these pairs' draws; another one for everything that could change an answer.

    Args:
        folder: of banks; made when missing.
        config: of the run.
        frozen: see `identify`.
        pair_keys: hash of each pair's tensors, in their order.
        draws_per_pair: how many distinct draws a pair has, at least 1.
    """
    facts = {
        **frozen,
        "pairs": list(pair_keys),
        "draws_per_pair": draws_per_pair,
        "config": {name: getattr(config, name) for name in _DECISIVE},
        "processes": processes.number(),
    }
    return ReferenceBank(folder, digest(facts), draws_per_pair * len(pair_keys))


def identify(policy: FlowPolicy) -> dict[str, Any]:
    """Which frozen policy this is, of whole weights that are not shared out yet, and where it computes."""
    # Heads and the side of the references are in no weight. Names with _ say where it was loaded from.
    config = dict(getattr(policy.transformer, "config", {}))
    return {
        "frozen": frozen_sha256(policy),
        "model": {name: value for name, value in config.items() if not name.startswith("_")},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def check_bank(
    policy: FlowPolicy, draws: PairDraws, bank: ReferenceBank, config: FlowDPOConfig, batches: int = 2
) -> int:
    """Compute some entries of a bank again, in the batches in which they were first met.

    Args:
        policy: with the adapter in any state, since its scale is 0 meanwhile.
        draws: the draws of the bank, in their order.
        bank: to be checked.
        config: of the run.
        batches: how many to compute.

    Returns:
        The number of draws that were checked.

    Raises:
        RunError: the bank is not what the frozen policy answers.
    """
    size, device = config.batch_size, next(policy.parameters()).device
    picks = np.random.default_rng(config.seed).permutation(bank.num_known // size)[:batches].tolist()
    picks = processes.all_of_us([picks])[0]  # another run may write meanwhile; all check the same
    met = [[send_to_device(draws[pick * size + k], device) for k in range(size)] for pick in picks]
    return bank.check(met, lambda draws: ref_errors(policy, draws, None))
