"""Watching a DPO run on people it is not trained on, always with the same draws.

The usual failure of preference training is silent in its loss: the margin grows because rejected videos get
worse faster than chosen ones. It shows in the chosen error on people who are held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from rlhf.dpo.bank import ReferenceBank
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.policy import FlowPolicy
from rlhf.dpo.reference import ref_errors
from rlhf.objectives import flow_dpo_loss, implicit_rewards, interpolate, time_weight
from rlhf.training import processes
from rlhf.training.draws import PairDraws, Tensors
from rlhf.training.lora import frozen_policy
from rlhf.training.sharding import is_sharded

#: Error on held-out chosen videos beside the frozen policy's: 0.01 is one per cent more.
EXCESS = "held_out/excess/chosen"
#: The loss on held-out pairs.
LOSS = "held_out/loss"
#: Looks in a row that end a run.
PATIENCE = 3
#: Of the held-out draws: another seed would be another measure.
SEED = 0
#: Draws whose velocity without any condition is watched.
NUM_PROBES = 4


def split_by_identity(identities: Sequence[str], share: float) -> list[bool]:
    """Say which pairs are held out: those of the identities whose hashes are smallest.

    By hash and not by chance, so that who is held out in one round is, mostly, in the next one, too.

    Args:
        identities: name of the identity of each pair.
        share: of the identities; rounded, so that few of them hold nobody out.

    Returns:
        Whether each pair is held out.
    """
    ranked = sorted(set(identities), key=lambda name: hashlib.sha256(name.encode()).digest())
    held = set(ranked[: round(share * len(ranked))])
    return [name in held for name in identities]


def excess_to_end(lines: Sequence[Mapping[str, float]], limit: float) -> str | None:
    """Why a run shall end after these lines of metrics, or None.

    Args:
        lines: of the run so far; those without an evaluation pass do not count.
        limit: the share by which the chosen error may exceed the frozen policy's.
    """
    excesses = [line[EXCESS] for line in lines if EXCESS in line][-PATIENCE:]
    if len(excesses) < PATIENCE or min(excesses) <= limit:
        return None
    shown = ", ".join(f"{value:.2%}" for value in excesses)
    return (
        f"the error on held-out chosen videos is {shown} above the frozen policy's; the limit is {limit:.2%}"
    )


def quartile_means(values: Mapping[str, Tensor], quantile: Tensor) -> dict[str, float]:
    """Means of figures in each quarter of the drawn times, the cleanest first: `<name>/quartile_1` to 4.

    Args:
        values: (N,) each.
        quantile: (N,), of the times, in (0, 1).

    Returns:
        Quarters that were not met are left out.
    """
    part = (4 * quantile).long().clamp(max=3)
    return {
        f"{name}/quartile_{k + 1}": value[part == k].mean().item()
        for name, value in values.items()
        for k in part.unique().tolist()
    }


class HeldOut:
    """Figures on held-out pairs: each pair once in every stratum of the times.

    Args:
        pairs: tensors of each; may be none.
        config: of the run.
        bank: of their reference errors.
        probes: draws with the unified empty condition as `references` and `prompt_embeds`.
    """

    def __init__(
        self,
        pairs: Sequence[Tensors],
        config: FlowDPOConfig,
        *,
        bank: ReferenceBank | None = None,
        probes: Sequence[Tensors] = (),
    ) -> None:
        """Fix the draws."""
        self.config, self.bank, self.probes = config, bank, probes
        strata = config.time_strata
        fixed = replace(config, seed=SEED)
        self.draws = PairDraws(pairs, fixed, strata * len(pairs), distinct=strata)

    @torch.no_grad()
    def figures(self, policy: FlowPolicy, device: torch.device) -> dict[str, float]:
        """All that is watched of the policy, by its name in the metrics; empty if nobody is held out."""
        probes = [send_to_device(probe, device) for probe in self.probes]
        drift = {"drift/empty": empty_drift(policy, probes)} if probes else {}
        return {**drift, **(self._errors(policy, device) if len(self.draws) else {})}

    def _errors(self, policy: FlowPolicy, device: torch.device) -> dict[str, float]:
        """Each process answers its share of the batches."""
        size, in_step = self.config.batch_size, is_sharded(policy.transformer)
        batches = []
        for first, counts in processes.turns(range(0, len(self.draws), size), in_step=in_step):
            last = min(first + size, len(self.draws))
            draws = [send_to_device(self.draws[index], device) for index in range(first, last)]
            errors = torch.stack([policy(draws)[0], ref_errors(policy, draws, self.bank)])
            facts = torch.stack([torch.stack([draw["time"], draw["quantile"].float()]) for draw in draws], 1)
            if counts:
                batches.append(torch.cat([errors.flatten(0, 1), facts]).cpu())
        whole = torch.cat(processes.all_of_us(batches), dim=1)
        return self._summary(whole[:2], whole[2:4], whole[4], whole[5])

    def _summary(self, policy: Tensor, ref: Tensor, time: Tensor, quantile: Tensor) -> dict[str, float]:
        config, weight = self.config, time_weight(time, self.config.beta_schedule)
        rewards = implicit_rewards(policy * weight, ref * weight, beta=config.beta)
        margin, drift = rewards[0] - rewards[1], policy - ref
        values = {
            "rewards/margins": margin,
            "rewards/accuracies": (margin.sign() + 1) / 2,  # a tie counts a half
            "drift/chosen": drift[0],
            "drift/rejected": drift[1],
        }
        figures = {name: value.mean().item() for name, value in values.items()}
        excess = policy.mean(1) / ref.mean(1) - 1
        figures |= {
            "loss": flow_dpo_loss(policy * weight, ref * weight, beta=config.beta).item(),
            "excess/chosen": excess[0].item(),
            "excess/rejected": excess[1].item(),
            **quartile_means(values, quantile),
        }
        return {f"held_out/{name}": value for name, value in figures.items()}


def empty_drift(policy: FlowPolicy, probes: Sequence[Tensors]) -> float:
    """How far the velocity without any condition has moved from the frozen policy's, mean square.

    Guidance subtracts it and multiplies what remains: what drifts here is amplified in every sampled video.
    """

    def velocity(probe: Tensors) -> Tensor:
        time = probe["time"][None]
        noisy = interpolate(probe["clean"][:1], probe["noise"][None], time)
        return policy.predict(noisy, time, probe["prompt_embeds"][None], probe["references"][None]).float()

    moved = []
    for probe in probes:
        with frozen_policy(policy):
            before = velocity(probe)
        moved.append((velocity(probe) - before).square().mean())
    return torch.stack(moved).mean().item()
