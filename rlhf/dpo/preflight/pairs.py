"""Warnings in the pairs themselves: consent, licences, numbers, votes, and which model made them."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import items_per_step
from rlhf.dpo.preflight.facts import PairFacts, PreflightWarning, counted

FEW_PAIRS = 100
FEW_IDENTITIES = 10
#: One identity's share of the pairs, and one person's share of the votes.
LARGE_SHARE = 0.25
DOMINANT_SHARE = 0.5
#: Votes of the same pair that are equal; below, many preferences are wrong.
LOW_AGREEMENT = 0.65
MANY_PASSES = 30.0
#: Standard errors beyond which a share is no chance; and how far from half it must be to matter.
SURE = 3.0
LEANING = 0.1


def consent(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """What people did not agree to, and pairs that cannot be trained on."""
    if facts.why_no_consent:
        yield PreflightWarning(
            "no_consent",
            facts.why_no_consent,
            "Train on the votes as they are now, which leaves them out.",
            blocks=True,
        )
    if facts.withheld:
        yield PreflightWarning(
            "withheld", f"{counted(facts.withheld)} left out for want of consent.", facts.why_withheld
        )
    if facts.unread:
        yield PreflightWarning(
            "unread_prompts",
            f"The model does not read the whole prompt of {counted(len(facts.unread))}: {facts.unread[0]}.",
            "Export the round again, which leaves such pairs out.",
            blocks=True,
        )
    if facts.uneven:
        yield PreflightWarning(
            "uneven_pairs",
            f"In {counted(facts.uneven)} the two videos differ in length or picture size.",
            "Sample both videos of a pair with the same settings.",
            blocks=True,
        )


def licences(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """Media that may not be used for everything."""
    closed = [name for name in facts.licences if is_non_commercial(name)]
    if closed:
        yield PreflightWarning(
            "non_commercial",
            f"{counted(sum(facts.licences[name] for name in closed))} under {', '.join(sorted(closed))}: "
            "a model trained on them must not be used commercially.",
            "Leave these people out where the model is to be sold or deployed.",
        )
    if unstated := facts.licences.get("", 0):
        yield PreflightWarning(
            "no_licence",
            f"{counted(unstated)} of people whose media state no licence.",
            "State it on the person's page.",
        )


def is_non_commercial(licence: str) -> bool:
    """Whether a licence's name says so: CC-BY-NC-4.0, "research, non-commercial"."""
    words = licence.lower().replace("_", "-").replace(" ", "-")
    return "-nc" in words or "noncommercial" in words.replace("-", "")


def amounts(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """Too few pairs or people, and how often the run meets each."""
    number, people = facts.num_pairs, len(facts.identities)
    if number < FEW_PAIRS:
        yield PreflightWarning(
            "few_pairs",
            f"{counted(number)}: a LoRA learns fewer than {FEW_PAIRS} by heart instead of what people "
            "prefer.",
            "Collect more votes, or lower learning_rate and steps.",
        )
    if people < FEW_IDENTITIES:
        yield PreflightWarning(
            "few_identities",
            f"{people} {'identity' if people == 1 else 'identities'}: what is learnt may be their faces.",
            f"Judge pairs of at least {FEW_IDENTITIES} people.",
        )
    name, most = max(facts.identities.items(), key=lambda item: item[1])
    if people > 1 and most > LARGE_SHARE * number:
        yield PreflightWarning(
            "one_identity",
            f"{name} is in {most} of {number} pairs ({most / number:.0%}).",
            "Judge more pairs of other people.",
        )
    a_step = items_per_step(config)
    passes = config.steps * a_step / number
    if passes > MANY_PASSES:
        yield PreflightWarning(
            "many_passes",
            f"The run meets every pair {passes:.0f} times.",
            f"Lower steps to {max(1, round(MANY_PASSES / 3 * number / a_step))}, or collect more pairs.",
        )
    if passes < 1:
        yield PreflightWarning(
            "part_of_a_pass",
            f"The run ends after {passes:.0%} of the pairs.",
            f"Raise steps to {-(-number // a_step)} for one pass.",
        )


def votes(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """Whose votes they are."""
    if facts.simulated_pairs:
        yield PreflightWarning(
            "simulated_votes",
            f"{counted(facts.simulated_pairs)} of {facts.num_pairs} with simulated votes.",
            "Leave them out unless you are rehearsing: a program's taste is nobody's preference.",
        )
    if facts.disqualified_votes:
        yield PreflightWarning(
            "disqualified",
            f"Behind these pairs, votes of people who are disqualified: {facts.disqualified_votes}.",
            "Train on the votes as they are now, or rebuild the export without them.",
        )
    total, most = sum(facts.annotators.values()), max(facts.annotators.values(), default=0)
    if total and most > DOMINANT_SHARE * total:
        yield PreflightWarning(
            "one_annotator",
            f"One person gave {most} of {total} votes ({most / total:.0%}): their taste becomes the model's.",
            "Let more people judge.",
        )


def taste(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """What people preferred, if it may be something else than a better video."""
    if _leans(facts.left_votes, facts.sided_votes):
        share = facts.left_votes / facts.sided_votes
        yield PreflightWarning(
            "side",
            f"{share:.0%} of {facts.sided_votes} votes for a side are for the left.",
            "Look for people who click one side, and leave their votes out.",
        )
    if _leans(facts.chosen_smaller, facts.sized):
        share = facts.chosen_smaller / facts.sized
        which, taste = ("smaller", "calm") if share > 0.5 else ("larger", "busy")
        yield PreflightWarning(
            "motion",
            f"The chosen file is the {which} one in {max(share, 1 - share):.0%} of {counted(facts.sized)}: "
            f"people may have preferred {taste} videos, whatever they show.",
            "Look at a few pairs; tell people to judge motion as the prompt asks for it.",
        )
    low = {track: value for track, value in facts.agreement.items() if value is not None}
    low = {track: value for track, value in low.items() if value < LOW_AGREEMENT}
    if low and "robust" not in config.loss_types and config.pair_weighting == "none":
        shown = " and ".join(f"{value:.0%} on {track}" for track, value in low.items())
        yield PreflightWarning(
            "low_agreement",
            f"Votes on the same pair agree in {shown}: some preferences are wrong.",
            'Set pair_weighting to "posterior", or loss_types to robust with label_smoothing 0.1.',
        )


def policy(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """Pairs of another model than the one that is trained."""
    if facts.from_others:
        yield PreflightWarning(
            "off_policy",
            f"{counted(facts.from_others)} of {facts.num_pairs} were made by another model than the policy: "
            "loss and accuracy improve on them while videos stay as they are.",
            "Sample pairs from the policy itself.",
        )


def _leans(part: int, whole: int) -> bool:
    """Whether a share is away from a half, beyond chance and by enough to matter."""
    if not whole:
        return False
    away = abs(part / whole - 0.5)
    return away > LEANING and away > SURE * 0.5 / sqrt(whole)
