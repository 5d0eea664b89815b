"""The card that goes with a model: what it was made of, how that went, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.dpo.preflight.facts import PairFacts
from rlhf.export.rule import ExportRule

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
    #: Names of the versions whose adapters go on the base, the oldest first, this one last.
    line: Sequence[str]
    rule: ExportRule  # of the export
    content_hash: str  # of the export, sha256
    weights_sha256: str  # of this version's own adapter
    pairs: PairFacts  # what the pairs were made of
    consents: Mapping[str, int]  # pairs per use that their people agree to today
    withdrawn: str = ""  # why data of the export were erased; empty where nothing was
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
            "tags:\n- lora\n- identity-preserving-video\n- preference-optimization\n---\n",
            f"# {facts.name}\n",
            f"A LoRA for {facts.base}, trained with Flow-DPO on preferences between its own videos.\n",
            _section("Use", _use(facts)),
            _section("Data", _data(facts)),
            _section("Votes", _votes(facts.pairs)),
            _section("Licences and consent", _licences(facts)),
            _section("Training", _training(facts)),
            _section("Evaluation", _evaluation(facts)),
            f"## What it must not be used for\n\n{_FORBIDDEN}\n",
        ]
    )


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def _use(facts: CardFacts) -> list[str]:
    return [
        f"Put on {facts.base}, all at strength 1, in this order: {', '.join(facts.line)}.",
        "A plain Wan loads the files but knows no references: use this project's `AnyIDPipeline`.",
        f"sha256 of the newest adapter in Diffusers' form: `{facts.weights_sha256}`.",
    ]


def _data(facts: CardFacts) -> list[str]:
    lines = [
        f"{facts.pairs.num_pairs} pairs of videos of {len(facts.pairs.identities)} people.",
        f"Chosen by the rule `{facts.rule}`: {_RULES[facts.rule]}.",
        f"Content hash of the exported set: `{facts.content_hash}`.",
    ]
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
    lines = [
        f"{name or 'No licence recorded'}: {number} pairs."
        for name, number in sorted(facts.pairs.licences.items())
    ]
    lines += [f"Consent to {use} today: {number} pairs." for use, number in facts.consents.items()]
    if facts.pairs.without_consent:
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
