"""The card that goes with a model."""

from __future__ import annotations

from dataclasses import replace

from rlhf.dpo.model_card import CardFacts, model_card
from rlhf.dpo.preflight.facts import PairFacts
from rlhf.export.rule import ExportRule

PAIRS = PairFacts(
    identities={"Ada": 2, "Bob": 1},
    human_votes=9,
    simulated_votes=0,
    annotators={11: 5, 12: 4},
    agreement={"identity": 0.75, "controllability": None},
    licences={"CC0-1.0": 2, "": 1},
)
FACTS = CardFacts(
    name="wan+dpo-1.1",
    base="wan",
    line=[("wan+dpo-1.1", 1.0)],
    rule=ExportRule.POOLED,
    content_hash="c" * 64,
    weights_sha256="d" * 64,
    pairs=PAIRS,
    consents={"train": 2, "publish": 1},
)


def test_it_tells_what_the_model_was_made_of_and_names_nobody():
    card = model_card(FACTS)
    assert "3 pairs of videos of 2 people" in card
    assert "9 votes of people, 0 of simulated annotators; 2 annotators together" in card
    assert "identity (share of pairs of votes that are equal): 0.750" in card
    assert "controllability (share of pairs of votes that are equal): no pair has two votes" in card
    assert "`pooled`: the votes of both tracks counted as one heap" in card
    assert "CC0-1.0: 2 pairs" in card and "No licence recorded: 1 pairs" in card
    assert "Consent to train today: 2 pairs" in card and "Consent to publish today: 1 pairs" in card
    assert "Ada" not in card and "Bob" not in card


def test_it_tells_what_is_missing_and_what_went_wrong():
    card = model_card(FACTS)
    assert "Not evaluated." in card and "Default settings." in card and "withdrawn" not in card
    assert "Simulated votes say nothing" not in card
    worse = replace(
        FACTS,
        pairs=replace(PAIRS, simulated_votes=4, without_consent=1),
        withdrawn="a person was erased",
        settings={"beta": "77"},
        figures={"last loss": 0.25},
        evaluation={"identity": {"win_rate": 0.6, "low": 0.5, "high": 0.7, "n": 40}},
    )
    card = model_card(worse)
    assert "Simulated votes say nothing about what people prefer." in card
    assert "1 of the people do not, or no longer, agree to training." in card
    assert "withdrawn after the training: a person was erased" in card
    assert "`beta` 77" in card and "last loss: 0.25" in card
    assert "0.600 (95 % interval 0.500 to 0.700, n = 40)" in card


def test_a_hub_reads_its_header():
    header, _, body = model_card(FACTS).removeprefix("---\n").partition("\n---\n")
    keys = [line.partition(":")[0] for line in header.splitlines() if not line.startswith("-")]
    assert keys == ["library_name", "pipeline_tag", "license", "tags"]
    assert body.lstrip().startswith("# wan+dpo-1.1\n")
