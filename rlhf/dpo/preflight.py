"""What is known to spoil a Flow-DPO run, looked for before it starts.

Every trap here was met by others in public trainers, or by us in the embedded world; each has its remedy.
Thresholds are where people reported trouble, not where trouble begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import Device

FEW_PAIRS = 100
FEW_IDENTITIES = 10
#: One identity's share of the pairs, and one person's share of the votes.
LARGE_SHARE = 0.25
DOMINANT_SHARE = 0.5
#: Betas that were reported to work lie between these; Flow-DPO and Diffusion-DPO would write 200 to 5000.
SANE_BETA = (100.0, 2500.0)
#: Above these, training was reported to spike and then to collapse: large models, and small ones.
HIGH_RATE_LARGE = 5e-5
HIGH_RATE_SMALL = 5e-4
#: Votes of the same pair that are equal; below, many preferences are wrong.
LOW_AGREEMENT = 0.65
MANY_PASSES = 30.0
#: Standard errors beyond which a share is no chance; and how far from half it must be to matter.
SURE = 3.0
LEANING = 0.1


@dataclass(frozen=True)
class PairFacts:
    """What a set of pairs is made of.

    Attributes:
        identities: pairs of each identity.
        simulated_pairs: pairs with any simulated vote.
        human_votes: votes of people.
        simulated_votes: votes of programs.
        disqualified_votes: votes behind the pairs whose people were disqualified since.
        annotators: votes of each person, by any key.
        sided_votes: votes for one of the two sides.
        left_votes: those for the left.
        agreement: of each track, the share of vote pairs that are equal; None where no pair has two votes.
        chosen_smaller: pairs whose chosen file is smaller than the rejected one, a sign of less motion.
        sized: pairs whose two files differ in size.
        uneven: pairs whose videos differ in length or size of the picture.
        from_others: pairs that another model than the policy made.
        licences: pairs of each licence; "" where none is stated.
        without_consent: people in the set who do not, or no longer, agree to training.
        why_no_consent: who they are and what to do, in sentences; empty where there are none.
        withheld: pairs that would be in the set, but show people who did not agree to training.
        why_withheld: likewise.
        unread: pairs whose prompts the model does not read whole, each with what is wrong.
        is_large: whether the videos are larger than the embedded world's, so that a large model made them.
        device: that the run will probably have; None where no run has said anything of it.
    """

    identities: Mapping[str, int] = field(default_factory=dict)
    simulated_pairs: int = 0
    human_votes: int = 0
    simulated_votes: int = 0
    disqualified_votes: int = 0
    annotators: Mapping[int, int] = field(default_factory=dict)
    sided_votes: int = 0
    left_votes: int = 0
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    chosen_smaller: int = 0
    sized: int = 0
    uneven: int = 0
    from_others: int = 0
    licences: Mapping[str, int] = field(default_factory=dict)
    without_consent: int = 0
    why_no_consent: str = ""
    withheld: int = 0
    why_withheld: str = ""
    unread: tuple[str, ...] = ()
    is_large: bool = False
    device: Device | None = None

    @property
    def num_pairs(self) -> int:
        """All pairs."""
        return sum(self.identities.values())


@dataclass(frozen=True)
class Trap:
    """One known trap that these pairs and settings are in.

    Attributes:
        name: stable, for records.
        says: what is wrong, with the value.
        remedy: what to do.
        blocks: whether the run must not start.
    """

    name: str
    says: str
    remedy: str
    blocks: bool = False


def find_traps(facts: PairFacts, config: FlowDPOConfig) -> list[Trap]:
    """Every trap, those that block first; without a pair there is nothing else to say."""
    if not facts.num_pairs and facts.withheld:
        says = f"Nobody who is in a pair agreed to training: {_pairs(facts.withheld)} left out."
        return [Trap("no_consent", says, facts.why_withheld, blocks=True)]
    if not facts.num_pairs:
        says = "No pair is better on both tracks yet."
        return [Trap("no_pairs", says, "Collect more votes, or let simulated votes in.", blocks=True)]
    found = [trap for look in _LOOKS for trap in look(facts, config)]
    return sorted(found, key=lambda trap: not trap.blocks)


def _consent(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    if facts.why_no_consent:
        yield Trap(
            "no_consent",
            facts.why_no_consent,
            "Train on the votes as they are now, which leaves them out.",
            blocks=True,
        )
    if facts.withheld:
        yield Trap("withheld", f"{_pairs(facts.withheld)} left out for want of consent.", facts.why_withheld)
    if facts.unread:
        yield Trap(
            "unread_prompts",
            f"The model does not read the whole prompt of {_pairs(len(facts.unread))}: {facts.unread[0]}.",
            "Export the round again, which leaves such pairs out.",
            blocks=True,
        )
    if facts.uneven:
        yield Trap(
            "uneven_pairs",
            f"In {_pairs(facts.uneven)} the two videos differ in length or picture size.",
            "Sample both videos of a pair with the same settings.",
            blocks=True,
        )


def _licences(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    closed = [name for name in facts.licences if is_non_commercial(name)]
    if closed:
        yield Trap(
            "non_commercial",
            f"{_pairs(sum(facts.licences[name] for name in closed))} under {', '.join(sorted(closed))}: "
            "a model trained on them must not be used commercially.",
            "Leave these people out where the model is to be sold or deployed.",
        )
    if unstated := facts.licences.get("", 0):
        yield Trap(
            "no_licence",
            f"{_pairs(unstated)} of people whose media state no licence.",
            "State it on the person's page.",
        )


def is_non_commercial(licence: str) -> bool:
    """Whether a licence's name says so: CC-BY-NC-4.0, "research, non-commercial"."""
    words = licence.lower().replace("_", "-").replace(" ", "-")
    return "-nc" in words or "noncommercial" in words.replace("-", "")


def _amounts(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    number, people = facts.num_pairs, len(facts.identities)
    if number < FEW_PAIRS:
        yield Trap(
            "few_pairs",
            f"{_pairs(number)}: a LoRA learns fewer than {FEW_PAIRS} by heart instead of what people prefer.",
            "Collect more votes, or lower learning_rate and steps.",
        )
    if people < FEW_IDENTITIES:
        yield Trap(
            "few_identities",
            f"{people} {'identity' if people == 1 else 'identities'}: what is learnt may be their faces.",
            f"Judge pairs of at least {FEW_IDENTITIES} people.",
        )
    name, most = max(facts.identities.items(), key=lambda item: item[1])
    if people > 1 and most > LARGE_SHARE * number:
        yield Trap(
            "one_identity",
            f"{name} is in {most} of {number} pairs ({most / number:.0%}).",
            "Judge more pairs of other people.",
        )
    a_step = config.batch_size * config.accumulation
    passes = config.steps * a_step / number
    if passes > MANY_PASSES:
        yield Trap(
            "many_passes",
            f"The run meets every pair {passes:.0f} times.",
            f"Lower steps to {max(1, round(MANY_PASSES / 3 * number / a_step))}, or collect more pairs.",
        )
    if passes < 1:
        yield Trap(
            "part_of_a_pass",
            f"The run ends after {passes:.0%} of the pairs.",
            f"Raise steps to {-(-number // a_step)} for one pass.",
        )


def _votes(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    if facts.simulated_pairs:
        yield Trap(
            "simulated_votes",
            f"{_pairs(facts.simulated_pairs)} of {facts.num_pairs} with simulated votes.",
            "Leave them out unless you are rehearsing: a program's taste is nobody's preference.",
        )
    if facts.disqualified_votes:
        yield Trap(
            "disqualified",
            f"Behind these pairs, votes of people who are disqualified: {facts.disqualified_votes}.",
            "Train on the votes as they are now, or rebuild the export without them.",
        )
    total, most = sum(facts.annotators.values()), max(facts.annotators.values(), default=0)
    if total and most > DOMINANT_SHARE * total:
        yield Trap(
            "one_annotator",
            f"One person gave {most} of {total} votes ({most / total:.0%}): their taste becomes the model's.",
            "Let more people judge.",
        )
    if _leans(facts.left_votes, facts.sided_votes):
        share = facts.left_votes / facts.sided_votes
        yield Trap(
            "side",
            f"{share:.0%} of {facts.sided_votes} votes for a side are for the left.",
            "Look for people who click one side, and leave their votes out.",
        )
    if _leans(facts.chosen_smaller, facts.sized):
        share = facts.chosen_smaller / facts.sized
        which, taste = ("smaller", "calm") if share > 0.5 else ("larger", "busy")
        yield Trap(
            "motion",
            f"The chosen file is the {which} one in {max(share, 1 - share):.0%} of {_pairs(facts.sized)}: "
            f"people may have preferred {taste} videos, whatever they show.",
            "Look at a few pairs; tell people to judge motion as the prompt asks for it.",
        )
    low = {track: value for track, value in facts.agreement.items() if value is not None}
    low = {track: value for track, value in low.items() if value < LOW_AGREEMENT}
    if low and "robust" not in config.loss_types and config.pair_weighting == "none":
        shown = " and ".join(f"{value:.0%} on {track}" for track, value in low.items())
        yield Trap(
            "low_agreement",
            f"Votes on the same pair agree in {shown}: some preferences are wrong.",
            'Set pair_weighting to "posterior", or loss_types to robust with label_smoothing 0.1.',
        )


def _policy(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    if facts.from_others:
        yield Trap(
            "off_policy",
            f"{_pairs(facts.from_others)} of {facts.num_pairs} were made by another model than the policy: "
            "loss and accuracy improve on them while videos stay as they are.",
            "Sample pairs from the policy itself.",
        )


def _strength(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    low, high = SANE_BETA
    other = f"(Flow-DPO and Diffusion-DPO would call it {2 * config.beta:g})"
    if config.beta < low:
        yield Trap(
            "low_beta",
            f"beta {config.beta:g} {other} hardly holds the model to its parent: videos fall apart.",
            f"Raise it to between {low:g} and {high:g}; start from 250 or 1000.",
        )
    if config.beta > high:
        yield Trap(
            "high_beta",
            f"beta {config.beta:g} {other} lets hardly anything move.",
            f"Lower it to {high:g} or less; halve a value that comes from one of their papers.",
        )
    limit = HIGH_RATE_LARGE if facts.is_large else HIGH_RATE_SMALL
    if config.learning_rate > limit:
        yield Trap(
            "high_rate",
            f"learning_rate {config.learning_rate:g} is above {limit:g}: such runs spike, then collapse.",
            f"Lower it to {limit / 5:g}; raise beta before raising the rate.",
        )
    if config.warmup_steps >= config.steps:
        yield Trap(
            "all_warmup",
            f"The warm-up of {config.warmup_steps} steps never ends in {config.steps}.",
            "Raise steps, or lower warmup_steps.",
        )


def _guards(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    if config.guard == "none":
        yield Trap(
            "no_guard",
            "The guard is off: the margin can grow while chosen videos get worse, too.",
            "Set guard to sdpo.",
        )
    if round(config.held_out * len(facts.identities)) == 0:
        yield Trap(
            "nobody_held_out",
            f"held_out {config.held_out:g} of {len(facts.identities)} identities is nobody: "
            "no early end, no figures on people whom the run does not train on.",
            "Raise held_out, or judge pairs of more people.",
        )
    elif config.steps < 3 * config.evaluate_every:
        yield Trap(
            "few_looks",
            f"{config.steps} steps and a look every {config.evaluate_every}: an early end needs three looks.",
            f"Lower evaluate_every to {max(1, config.steps // 5)}.",
        )


def _devices(facts: PairFacts, config: FlowDPOConfig) -> Iterator[Trap]:
    for name, number in (("arm_parallel", "an even number of"), ("sharded", "several")):
        if getattr(config, name):
            yield Trap(
                name,
                f"{name} needs {number} processes, and a worker starts one.",
                "Switch it off, or start the run from a shell with torchrun.",
                blocks=True,
            )
    if config.bf16 and facts.device and facts.device.is_slow_in_bf16:
        yield Trap(
            "slow_bf16",
            f"bfloat16 takes about {facts.device.slowdown:.0f} times as long as float32 on the "
            f"{facts.device.name} of the last run, which has no units for it.",
            "Leave bf16 empty: the device then takes what it is fast at.",
        )


_LOOKS: tuple[Callable[[PairFacts, FlowDPOConfig], Iterator[Trap]], ...] = (
    _consent,
    _licences,
    _amounts,
    _votes,
    _policy,
    _strength,
    _guards,
    _devices,
)


def _leans(part: int, whole: int) -> bool:
    """Whether a share is away from a half, beyond chance and by enough to matter."""
    if not whole:
        return False
    away = abs(part / whole - 0.5)
    return away > LEANING and away > SURE * 0.5 / sqrt(whole)


def _pairs(number: int) -> str:
    return f"{number} pair" if number == 1 else f"{number} pairs"


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
