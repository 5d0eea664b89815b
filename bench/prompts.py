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
from generator.portraits.describer import Errors, PortraitModel
from generator.portraits.paraphrases import STATES
from generator.portraits.people import plan_person
from generator.portraits.world import SPLIT_SEEDS
from generator.prompts.asking import Asker, Model, Patience, Question, Reply
from generator.prompts.forms import DESCRIPTION, UNSEEN
from generator.prompts.pictures import Medium
from generator.prompts.questions import AskedComparer, AskedDescriber, AskedObserver
from generator.prompts.stages import GAMMA, Description, compare_elements, prune
from generator.prompts.transcript import Transcript, summarise
from generator.records import ELEMENTS, ReferenceKind

GAMMAS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
ERRORS = Errors(omitted=0.05, invented=0.05, paraphrased=True)
#: A reply that leaves out one of seven elements at 5 % each is asked for again, so most need two looks.
PATIENCE = Patience(attempts=12, first_wait_s=0)
PEOPLE, PAIRS_A_PERSON, SEEDS = 200, 3, 5
PLOT = Path("docs/prompts.svg")

States = Mapping[str, str]
#: What was claimed to change, by pair.
Claims = Mapping[str, Mapping[str, str]]


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
        for target in rng.choice(clips, PAIRS_A_PERSON, replace=False).tolist():
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
    describer, comparer = AskedDescriber(asker, lambda medium: ()), AskedComparer(asker)
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
    observer = AskedObserver(asker, lambda medium: ())
    claims = {}
    for case in cases:
        changes = observer.changes(case.pair_id, case.primary, case.target)
        claims[case.pair_id] = {element: target for element, (target, _) in changes.items()}
    return claims


def score(cases: Sequence[Case], claims: Claims) -> Score:
    right = claimed = true = 0
    for case in cases:
        said = {element: STATES[element][words] for element, words in claims[case.pair_id].items()}
        changed = {element for element in ELEMENTS if case.before[element] != case.after[element]}
        claimed, true = claimed + len(said), true + len(changed)
        right += sum(said.get(element) == case.after[element] for element in changed)
    return Score(right, claimed, true)


def best_gamma(scores: Mapping[float, Score]) -> float:
    """The gamma of the highest F1."""
    return max(scores, key=lambda gamma: scores[gamma].f1)


def measure(people: int, seeds: Iterable[int], folder: Path) -> dict[str, dict[float, Score]]:
    """Scores of the modes by gamma, over all seeds together; one-step has the same at every gamma."""
    parts: dict[str, dict[float, list[Score]]] = {}
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
                parts.setdefault(mode, {}).setdefault(gamma, []).append(score(cases, made))
    return {
        mode: {gamma: _sum(scores) for gamma, scores in by_gamma.items()} for mode, by_gamma in parts.items()
    }


def _sum(scores: Sequence[Score]) -> Score:
    return Score(*(sum(getattr(score, name) for score in scores) for name in ("right", "claimed", "true")))


def draw_plot(scores: Mapping[str, Mapping[float, Score]]) -> str:
    lines = []
    for mode, is_dashed in (("two-stage", False), ("one-step", True)):
        for name, colour in zip(("precision", "recall", "f1"), COLOURS, strict=False):
            points = [(gamma, getattr(scores[mode][gamma], name)) for gamma in GAMMAS]
            lines.append(Line(f"{mode}: {name.replace('f1', 'F1')}", points, colour, is_dashed))
    low = min(value for line in lines for _, value in line.points)
    ticks = [tick for tick in np.arange(0, 1.01, 0.1).round(1).tolist() if tick > low - 0.1]
    title = "Changes extracted from the portrait world, 5 % of readings omitted, 5 % invented"
    return chart(title, ("gamma", "share"), GAMMAS, ticks, lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scores = measure(PEOPLE, range(SEEDS), Path(folder))
        asked = {path.stem: summarise(Transcript(path), {}) for path in sorted(Path(folder).iterdir())}
    rows: list[dict[str, Any]] = [
        {
            "mode": mode,
            "gamma": gamma if mode != "one-step" else None,
            "precision": score.precision,
            "recall": score.recall,
            "f1": score.f1,
        }
        for mode, by_gamma in scores.items()
        for gamma, score in by_gamma.items()
        if mode != "one-step" or gamma == GAMMAS[0]
    ]
    facts = {"pairs": PEOPLE * PAIRS_A_PERSON * SEEDS, "default_gamma": GAMMA, "asked": asked}
    report("prompts", rows, best_gamma=best_gamma(scores["two-stage"]), **facts)
    print(f"best gamma {best_gamma(scores['two-stage'])}, default {GAMMA}; asked: {asked}")
    PLOT.write_text(draw_plot(scores), encoding="utf-8")
    print(f"drawn to {PLOT}")


if __name__ == "__main__":
    main()
