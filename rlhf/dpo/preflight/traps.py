"""Every trap that a run would walk into."""

from __future__ import annotations

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.preflight import pairs, settings
from rlhf.dpo.preflight.facts import PairFacts, Trap, counted

_LOOKS = (
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


def find_traps(facts: PairFacts, config: FlowDPOConfig) -> list[Trap]:
    """Every trap, those that block first; without a pair there is nothing else to say."""
    if not facts.num_pairs and facts.withheld:
        says = f"Nobody who is in a pair agreed to training: {counted(facts.withheld)} left out."
        return [Trap("no_consent", says, facts.why_withheld, blocks=True)]
    if not facts.num_pairs:
        says = "No pair is better on both tracks yet."
        return [Trap("no_pairs", says, "Collect more votes, or let simulated votes in.", blocks=True)]
    found = [trap for look in _LOOKS for trap in look(facts, config)]
    return sorted(found, key=lambda trap: not trap.blocks)
