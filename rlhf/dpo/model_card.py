"""The card that goes with a model: what it was made of, how that went, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.dpo.preflight.facts import PairFacts
from rlhf.export.rule import ExportRule
from rlhf.training.set_facts import SetFacts

_RULES = {
    ExportRule.PARETO: "one video strictly better on both tracks",
    ExportRule.IDENTITY: "the identity track alone",
    ExportRule.CONTROLLABILITY: "the controllability track alone",
    ExportRule.POOLED: "the votes of both tracks counted as one heap",
}

_FORBIDDEN = """\
- Showing a real person without their consent, or beyond what they consented to.
- Making people believe that something happened which did not; impersonation; sexual or degrading content.
- Identifying or verifying people, or any decision about them: it makes pictures, it recognises nobody.
- Uses that a licence named above, or the base model's own licence, does not allow."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. Nobody is named in it."""

    name: str  # of the version
    base: str  # name of the base model
    #: Versions whose adapters go on the base, in order, and what each is multiplied by.
    line: Sequence[tuple[str, float]]
    #: Of this version's own adapter; of a mix over those of all, of a base over its weights.
    weights_sha256: str
    kind: str = "dpo"  # `base`, `sft`, `dpo` or `mix`
    pairs: PairFacts | None = None  # what the pairs were made of; None of what no votes here trained
    rule: ExportRule = ExportRule.PARETO  # of the export
    content_hash: str = ""  # of the export, or of the set of instances, sha256
    learned: SetFacts | None = None  # what the set of instances was made of; None of what none here trained
    consents: Mapping[str, int] = field(default_factory=dict)  # pairs per use that their people agree to
    withdrawn: str = ""  # why data were erased from what it learned from; empty where nothing was
    #: Settings of the training that differ from the defaults.
    settings: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)  # closing figures of the training
    #: `identity` and `controllability`, each with `win_rate`, `low`, `high` and `n`, or empty.
    evaluation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """The card in Markdown, with the header that model hubs read."""
    return "\n".join(
        [
            "---\nlibrary_name: diffusers\npipeline_tag: image-to-video\nlicense: other",
            "tags:\n" + "".join(f"- {tag}\n" for tag in _tags(facts)) + "---\n",
            f"# {facts.name}\n",
            f"{_about(facts)}\n",
            _section("Use", _use(facts)),
            _section("Data", _data(facts)),
            *([_section("Votes", _votes(facts.pairs))] if facts.pairs else []),
            _section("Licences and consent", _licences(facts)),
            *([_section("Training", _training(facts))] if facts.pairs or facts.learned else []),
            _section("Evaluation", _evaluation(facts)),
            f"## What it must not be used for\n\n{_FORBIDDEN}\n",
        ]
    )


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def _tags(facts: CardFacts) -> list[str]:
    tags = ["lora"] if facts.line else []
    return [*tags, "identity-preserving-video", *(["preference-optimization"] if facts.pairs else [])]


def _about(facts: CardFacts) -> str:
    if facts.pairs:
        return f"A LoRA for {facts.base}, trained with Flow-DPO on preferences between its own videos."
    if facts.learned:
        return f"A LoRA for {facts.base}, trained supervised on clips of people."
    if facts.kind == "mix":
        return f"Adapters for {facts.base} with weights; nothing was trained for the mix itself."
    return f"A LoRA for {facts.base} that was trained elsewhere." if facts.line else "A base model."


def _use(facts: CardFacts) -> list[str]:
    plain = "A plain Wan loads the files but knows no references: use this project's `AnyIDPipeline`."
    if not facts.line:
        return [f"Load {facts.base} by itself: it has no adapter.", plain, _hash(facts, "its weights")]
    if all(weight == 1 for _, weight in facts.line):
        how = f"all at strength 1, in this order: {', '.join(name for name, _ in facts.line)}"
    else:
        shown = ", ".join(f"{name} at {weight:g}" for name, weight in facts.line)
        how = f"in this order and at these strengths: {shown}"
    own = "the list" if facts.kind == "mix" else "the newest adapter in Diffusers' form"
    return [f"Put on {facts.base}, {how}.", plain, _hash(facts, own)]


def _hash(facts: CardFacts, of: str) -> str:
    return f"sha256 of {of}: `{facts.weights_sha256}`."


def _data(facts: CardFacts) -> list[str]:
    if facts.pairs:
        lines = [
            f"{facts.pairs.num_pairs} pairs of videos of {len(facts.pairs.identities)} people.",
            f"Chosen by the rule `{facts.rule}`: {_RULES[facts.rule]}.",
            f"Content hash of the exported set: `{facts.content_hash}`.",
        ]
    elif facts.learned:
        rates = ", ".join(f"{count} at {rate}" for rate, count in facts.learned.rates.items())
        lines = [
            f"{facts.learned.num_instances} instances of {facts.learned.num_people or 'unnamed'} people, "
            f"with {facts.learned.num_clips} target clips.",
            f"Frames per second of the targets: {rates}.",
            f"Content hash of the set: `{facts.content_hash}`.",
        ]
    else:
        return ["Nothing is known here of what it was trained on: ask whoever made it."]
    if facts.withdrawn:
        lines.append(f"The set was withdrawn after the training: {facts.withdrawn}.")
    return lines


def _votes(pairs: PairFacts) -> list[str]:
    lines = [
        f"{pairs.human_votes} votes of people, {pairs.simulated_votes} of simulated annotators; "
        f"{len(pairs.annotators)} annotators together."
    ]
    if pairs.simulated_votes:
        lines.append("Simulated votes say nothing about what people prefer.")
    for track, share in pairs.agreement.items():
        told = "no pair has two votes" if share is None else f"{share:.3f}"
        lines.append(f"Raw agreement on {track} (share of pairs of votes that are equal): {told}.")
    return lines


def _licences(facts: CardFacts) -> list[str]:
    data, what = (facts.pairs, "pairs") if facts.pairs else (facts.learned, "instances")
    if data is None:
        return ["Not known here; those of whoever made it apply."]
    lines = [
        f"{name or 'No licence recorded'}: {number} {what}." for name, number in sorted(data.licences.items())
    ]
    lines += [f"Consent to {use} today: {number} {what}." for use, number in facts.consents.items()]
    if facts.pairs and facts.pairs.without_consent:
        lines.append(f"{facts.pairs.without_consent} of the people do not, or no longer, agree to training.")
    return lines


def _training(facts: CardFacts) -> list[str]:
    figures = [f"{name}: {value:g}." for name, value in facts.figures.items()]
    settings = [f"`{name}` {value}" for name, value in facts.settings.items()]
    changed = f"Settings other than the defaults: {', '.join(settings)}." if settings else "Default settings."
    return [*figures, changed]


def _evaluation(facts: CardFacts) -> list[str]:
    return [
        f"{track} win rate against its parent on held-out people, by the oracle: {figures['win_rate']:.3f} "
        f"(95 % interval {figures['low']:.3f} to {figures['high']:.3f}, n = {figures['n']})."
        for track, figures in facts.evaluation.items()
    ] or ["Not evaluated."]
