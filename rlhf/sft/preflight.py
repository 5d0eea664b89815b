"""What an SFT run would walk into, found before it starts; plain, so that the web can ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rlhf.dpo.estimate import Device
from rlhf.dpo.preflight.facts import PreflightWarning
from rlhf.dpo.preflight.settings import sharing
from rlhf.sft.config import SFTConfig
from rlhf.training.set_facts import SetFacts

#: With fewer people a model learns their faces by heart.
FEW_PEOPLE = 8


def find_warnings(
    facts: SetFacts,
    config: SFTConfig,
    *,
    why_no_consent: str = "",
    withheld: int = 0,
    why_withheld: str = "",
    unread: Sequence[str] = (),
    num_unread: int = 0,
    device: Device | None = None,
) -> list[PreflightWarning]:
    """Every warning, those that block first; without an instance there is nothing else to say.

    Args:
        facts: of what would be learned from.
        config: of the run.
        why_no_consent: why nothing may be learned from it, and what to do.
        withheld: instances that are left out, since their people did not agree.
        why_withheld: who these are and what to do.
        unread: instances that are left out, since the model does not read their prompts whole: the first.
        num_unread: all of these.
        device: that the run will probably have.
    """
    if not facts.num_instances:
        remedy = why_withheld or "Draw some: manage.py build_instances --with-targets, or have a folder read."
        return [PreflightWarning("no_instances", _nothing(withheld), remedy, blocks=True)]
    found = [*_of_people(facts, why_no_consent), *_of_rates(facts, config), *_of_device(config, device)]
    if withheld:
        says = f"{_counted(withheld)} left out, since not everybody agreed to training."
        found.append(PreflightWarning("withheld", says, why_withheld))
    if num_unread:
        says = f"{_counted(num_unread)} left out, since the model does not read the whole prompt."
        found.append(PreflightWarning("unread", says, f"Edit the prompts: {'; '.join(unread)}."))
    return sorted(found, key=lambda warning: not warning.blocks)


def _nothing(withheld: int) -> str:
    if withheld:
        return (
            f"Nobody who is in an instance with a target agreed to training: {_counted(withheld)} left out."
        )
    return "There is no instance with a target."


def _of_people(facts: SetFacts, why_no_consent: str) -> Iterator[PreflightWarning]:
    if why_no_consent:
        says = "Not everybody in this set agrees to training."
        yield PreflightWarning("consent", says, why_no_consent, blocks=True)
    if 0 < facts.num_people < FEW_PEOPLE:
        people = "1 person" if facts.num_people == 1 else f"{facts.num_people} people"
        says = f"{people} only: the model would learn their faces by heart, not how to keep any face."
        yield PreflightWarning("few_people", says, "Import more people, or train for fewer steps.")
    if unstated := facts.licences.get("", 0):
        says = f"{_counted(unstated)} of people whose media have no licence stated."
        yield PreflightWarning("licences", says, "State it when the people are imported.")


def _of_rates(facts: SetFacts, config: SFTConfig) -> Iterator[PreflightWarning]:
    if config.fps is not None and (slow := facts.too_slow_for(config.fps)):
        says = f"fps is {config.fps}, and {_counted(slow)} have targets with fewer frames per second."
        yield PreflightWarning("fps", says, f"Set fps to {facts.slowest:g} or less.", blocks=True)
    elif config.fps is None and len(facts.rates) > 1:
        rates = ", ".join(sorted(facts.rates, key=float))
        says = f"Targets have {rates} frames per second; all are learned at {facts.slowest:g}."
        yield PreflightWarning("rates", says, "Set fps, or leave out the slow clips.")


def _of_device(config: SFTConfig, device: Device | None) -> Iterator[PreflightWarning]:
    yield from sharing(config)
    if config.bf16 and device and device.is_slow_in_bf16:
        says = f"bf16 is on, and the {device.name} emulates it at {device.slowdown:.0f} times the seconds."
        yield PreflightWarning("bf16", says, "Leave it to the device.")


def _counted(number: int) -> str:
    return "1 instance" if number == 1 else f"{number} instances"
