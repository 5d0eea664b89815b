"""Every warning that a run would walk into."""

from __future__ import annotations

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.preflight import pairs, settings
from rlhf.dpo.preflight.facts import PairFacts, PreflightWarning, counted

_CHECKS = (
    pairs.consent,
    pairs.licences,
    pairs.amounts,
    pairs.votes,
    pairs.taste,
    pairs.policy,
    settings.strength,
    settings.guards,
    settings.devices,
)


def find_warnings(facts: PairFacts, config: FlowDPOConfig) -> list[PreflightWarning]:
    """Every warning, those that block first; without a pair there is nothing else to say."""
    if not facts.num_pairs and facts.withheld:
        says = f"Nobody who is in a pair agreed to training: {counted(facts.withheld)} left out."
        return [PreflightWarning("no_consent", says, facts.why_withheld, blocks=True)]
    if not facts.num_pairs:
        says = "No pair is better on both tracks yet."
        return [
            PreflightWarning("no_pairs", says, "Collect more votes, or let simulated votes in.", blocks=True)
        ]
    warnings = [warning for check in _CHECKS for warning in check(facts, config)]
    return sorted(warnings, key=lambda warning: not warning.blocks)
