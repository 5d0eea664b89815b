"""A user study for programs and papers. Participants are the numbers of their seats, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from annotate.models import Study
from annotate.studies.queries import answers_on, counting_answers, is_answered_by_people
from rlhf.evaluation.study_figures import Answer, CriterionFigures, study_figures
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import Verdict

COLUMNS = (
    "participant",
    "position",
    "pair",
    "input",
    "seed",
    "left",
    "right",
    *(str(criterion) for criterion in Criterion),
    "active_ms",
    "is_simulated",
)


def answer_rows(study: Study) -> Iterator[tuple[Any, ...]]:
    """Names of the columns, then one row an answer; a verdict is the name of the better model, or `tie`."""
    yield COLUMNS
    for answer in counting_answers(study).iterator(chunk_size=2_000):
        task = answer.task
        first, second = task.pair.first, task.pair.second
        named = {Verdict.FIRST: first.model.label, Verdict.SECOND: second.model.label, Verdict.TIE: "tie"}
        on_sides = (first, second) if task.first_on_left else (second, first)
        yield (
            task.seat.number,
            task.position,
            task.pair_id,
            first.input.instance_id,
            first.input.seed,
            *(video.model.label for video in on_sides),
            *(named[Verdict(getattr(answer, criterion))] for criterion in Criterion),
            answer.evidence.get("active_ms", ""),
            answer.is_simulated,
        )


@dataclass(frozen=True)
class Results:
    """What was answered, by people if any have; where nobody has, by simulated participants."""

    is_simulated: bool
    models: list[str]
    answers: list[Answer]
    figures: dict[Criterion, CriterionFigures]


def results_of(study: Study) -> Results:
    is_simulated = not is_answered_by_people(study)
    models = [model.label for model in study.models.all()]
    answers = answers_on(study, is_simulated=is_simulated)
    return Results(is_simulated, models, answers, study_figures(answers, models) if answers else {})


def figures_report(study: Study) -> dict[str, Any]:
    """What the page shows, to every digit."""
    results = results_of(study)
    return {
        "study": study.name,
        "seed": study.seed,
        "models": results.models,
        "seats": study.seats.count(),
        "participants": len({answer.participant for answer in results.answers}),
        "pairs_per_person": study.pairs_per_person,
        "form": study.form,
        "answers": len(results.answers),
        "is_simulated": results.is_simulated,
        "criteria": {criterion: _criterion(figures) for criterion, figures in results.figures.items()},
    }


def _criterion(figures: CriterionFigures) -> dict[str, Any]:
    return {
        "ranking": figures.ranking,
        "win_rates": {model: asdict(rate) for model, rate in figures.win_rates.items()},
        "against": [
            {"model": model, "rival": rival, **asdict(rate)}
            for (model, rival), rate in figures.against.items()
        ],
        "strengths": {model: asdict(strength) for model, strength in figures.strengths.items()},
        "ties": asdict(figures.ties),
        "left": asdict(figures.left),
        "agreement": asdict(figures.agreement),
    }
