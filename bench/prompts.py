"""How well changes are extracted from the portrait world by a describer that errs, at each gamma.

Every reading of an element is omitted or names another state at the same stated rates, in both modes, and
both read every medium of a pair. The two-stage mode writes its readings down and pays for comparing words:
paraphrases of one state must be found alike, and related states must not. The one-step mode compares its own
readings without any error, which is more than a model can do, but what it omits cannot be seen in its reply.

A claimed change is right where the element did change and the words name the target's true state.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.plot import COLOURS, Line, chart
from bench.timing import report
from generator.portraits.paraphrases import STATES
from generator.portraits.people import plan_person
from generator.portraits.world import SPLIT_SEEDS
from generator.prompts.asking import Asker, Model, Patience, Question, Reply
from generator.prompts.backends.portraits import Errors, PortraitModel
from generator.prompts.forms import DESCRIPTION, UNSEEN
from generator.prompts.pictures import Medium
from generator.prompts.questions import AskedModel
from generator.prompts.stages import GAMMA, Description, compare_elements, prune
from generator.prompts.transcript import Transcript, summarise
from generator.records import ELEMENTS, ReferenceKind

GAMMAS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
ERRORS = Errors(omitted=0.05, invented=0.05, paraphrased=True)
#: A reply that leaves out one of seven elements at 5 % each is asked for again, so most need two looks.
PATIENCE = Patience(attempts=12, first_wait_s=0)
PEOPLE, PAIRS_PER_PERSON, SEEDS = 200, 3, 5
PLOT = Path("docs/prompts.svg")

States = Mapping[str, str]
#: What was claimed to change, by pair.
Claims = Mapping[str, Mapping[str, str]]
#: Scores of every pair, by mode and gamma.
Measured = dict[str, dict[float, list["Score"]]]


@dataclass(frozen=True)
class Case:
    """A pair of media of one drawn person, with the truth of both."""

    pair_id: str
    primary: Medium
    target: Medium
    before: States
    after: States


@dataclass(frozen=True)
class Score:
    """Precision and recall of claimed changes."""

    right: int
    claimed: int
    true: int

    @property
    def precision(self) -> float:
        return self.right / self.claimed

    @property
    def recall(self) -> float:
        return self.right / self.true

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.claimed + self.true)


class Vague:
    """A model that fills what it omits with "not visible", so that no omission shows."""

    name = "portrait world, vague"

    def __init__(self, model: Model) -> None:
        self._model = model

    def reply(self, question: Question) -> Reply:
        reply = self._model.reply(question)
        if question.form is not DESCRIPTION:
            return reply
        return Reply(json.dumps(dict.fromkeys(ELEMENTS, UNSEEN) | json.loads(reply.text)))


def draw_cases(people: int, seed: int) -> list[Case]:
    """Pairs of benchmark people: any primary, and a clip as the target."""
    rng = np.random.default_rng([seed, 4])
    first = SPLIT_SEEDS["benchmark"] + seed * people
    cases = []
    for person in range(first, first + people):
        items = plan_person(person)
        media = [Medium(f"{person}/{index}", Path()) for index in range(len(items))]
        clips = [index for index, item in enumerate(items) if item.kind is ReferenceKind.CLIP]
        for target in rng.choice(clips, PAIRS_PER_PERSON, replace=False).tolist():
            primary = int(rng.choice([index for index in range(len(items)) if index != target]))
            pair = (media[primary], media[target], items[primary].elements, items[target].elements)
            cases.append(Case(f"{person}/{primary}-{target}", *pair))
    return cases


def model_of(cases: Iterable[Case], errors: Errors) -> PortraitModel:
    """The portrait world, knowing the media of these pairs."""
    known: dict[str, States] = {}
    for case in cases:
        known |= {case.primary.medium_id: case.before, case.target.medium_id: case.after}
    return PortraitModel(lambda medium: known[medium.medium_id], errors)


def two_stage_claims(cases: Sequence[Case], asker: Asker, gammas: Sequence[float]) -> dict[float, Claims]:
    """Every medium is described once and every pair compared once; only the pruning differs by gamma."""
    describer, comparer = AskedModel(asker, lambda medium: ()), AskedModel(asker)
    described: dict[Medium, Description] = {}
    claims: dict[float, dict[str, dict[str, str]]] = {gamma: {} for gamma in gammas}
    for case in cases:
        for medium in (case.primary, case.target):
            if medium not in described:
                described[medium] = describer.describe(medium)
        primary, target = described[case.primary], described[case.target]
        alike = compare_elements(case.pair_id, primary, target, comparer)
        for gamma in gammas:
            changed = prune(primary, target, alike, gamma).changed
            claims[gamma][case.pair_id] = {change.element: str(change.target) for change in changed}
    return dict(claims)


def one_step_claims(cases: Sequence[Case], asker: Asker) -> Claims:
    observer = AskedModel(asker, lambda medium: ())
    claims = {}
    for case in cases:
        changes = observer.changes(case.pair_id, case.primary, case.target)
        claims[case.pair_id] = {element: target for element, (target, _) in changes.items()}
    return claims


def score(case: Case, claims: Mapping[str, str]) -> Score:
    """One pair's claimed changes against the truth."""
    said = {element: STATES[element][words] for element, words in claims.items()}
    changed = {element for element in ELEMENTS if case.before[element] != case.after[element]}
    right = sum(said.get(element) == case.after[element] for element in changed)
    return Score(right, len(said), len(changed))


def add(scores: Iterable[Score]) -> Score:
    return Score(*np.sum([(score.right, score.claimed, score.true) for score in scores], axis=0).tolist())


def best_gamma(scores: Mapping[float, Sequence[Score]]) -> float:
    """The gamma of the highest F1 over all pairs."""
    return max(scores, key=lambda gamma: add(scores[gamma]).f1)


def measure(people: int, seeds: Iterable[int], folder: Path) -> Measured:
    """Every pair's score by mode and gamma; one-step has the same at every gamma."""
    measured: Measured = {}
    for seed in seeds:
        cases = draw_cases(people, seed)
        model = model_of(cases, replace(ERRORS, seed=seed))
        strict = Asker(model, Transcript(folder / "two-stage.jsonl"), PATIENCE)
        vague = Asker(Vague(model), Transcript(folder / "two-stage, omissions filled in.jsonl"), PATIENCE)
        single = Asker(model, Transcript(folder / "one-step.jsonl"), PATIENCE)
        claims = {
            "two-stage": two_stage_claims(cases, strict, GAMMAS),
            "two-stage, omissions filled in": two_stage_claims(cases, vague, GAMMAS),
            "one-step": dict.fromkeys(GAMMAS, one_step_claims(cases, single)),
        }
        for mode, by_gamma in claims.items():
            for gamma, made in by_gamma.items():
                scores = measured.setdefault(mode, {}).setdefault(gamma, [])
                scores += [score(case, made[case.pair_id]) for case in cases]
    return measured


def gain(measured: Measured, gamma: float, draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of two-stage F1 minus one-step F1, drawing people, not pairs."""
    rng = np.random.default_rng(0)
    counts = [
        np.array([(score.right, score.claimed + score.true) for score in measured[mode][gamma]])
        .reshape(-1, PAIRS_PER_PERSON, 2)
        .sum(axis=1)
        for mode in ("two-stage", "one-step")
    ]
    chosen = rng.integers(len(counts[0]), size=(draws, len(counts[0])))
    two, one = (2 * sums[..., 0] / sums[..., 1] for sums in (count[chosen].sum(axis=1) for count in counts))
    low, high = np.quantile(two - one, [0.025, 0.975])
    return float(low), float(high)


def draw_plot(measured: Measured) -> str:
    lines = []
    for mode, is_dashed in (("two-stage", False), ("one-step", True)):
        for name, colour in zip(("precision", "recall", "f1"), COLOURS, strict=False):
            points = [(gamma, getattr(add(measured[mode][gamma]), name)) for gamma in GAMMAS]
            lines.append(Line(f"{mode}: {name.replace('f1', 'F1')}", points, colour, is_dashed))
    title = "Changes extracted from the portrait world, 5 % of readings omitted, 5 % invented"
    return chart(title, ("gamma", "share"), lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(PEOPLE, range(SEEDS), Path(folder))
        asked = {path.stem: summarise(Transcript(path), {}) for path in sorted(Path(folder).iterdir())}
    rows = [
        _row(mode, None if mode == "one-step" else gamma, add(scores))
        for mode, by_gamma in measured.items()
        for gamma, scores in by_gamma.items()
        if mode != "one-step" or gamma == GAMMA
    ]
    best, interval = best_gamma(measured["two-stage"]), gain(measured, GAMMA)
    facts = {"pairs": PEOPLE * PAIRS_PER_PERSON * SEEDS, "best_gamma": best, "default_gamma": GAMMA}
    report("prompts", rows, **facts, gain_interval_95=interval, asked=asked)
    print("calls and caught:", {mode: (sums["calls"], sums["failures"]) for mode, sums in asked.items()})
    print(f"best gamma {best}, default {GAMMA}")
    print("F1 of two stages minus F1 of one, 95 % interval: {:.3f} to {:.3f}".format(*interval))
    PLOT.write_text(draw_plot(measured), encoding="utf-8")
    print(f"drawn to {PLOT}")


def _row(mode: str, gamma: float | None, score: Score) -> dict[str, Any]:
    return {
        "mode": mode,
        "gamma": gamma,
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
    }


if __name__ == "__main__":
    main()
