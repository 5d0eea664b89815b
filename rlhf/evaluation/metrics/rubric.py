"""App., Mot. and Bg.: a vision-language model says how far a video does what its prompt asks for.

The model sees the primary reference and frames of the video in order, reads the prompt, and gives each of the
three a score from 1 to 5 with a reason. It is asked several times, since such scores vary; the value is the
mean, their spread is kept, and so is every word that was asked and answered. A reply of another form is asked
for again, and a video without proper replies has no value.

Settings: `model`, as in a request of differential prompts (backend `server`, or `local` with the name of
weights in the folder of models), and `repeats`. Paths in them start at the folder of models.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from generator.prompts.asking import Asker, Model, Patience, Question, Shown, UnansweredError
from generator.prompts.backends.loading import load_model
from generator.prompts.forms import form_of
from generator.prompts.pictures import GLANCES, MAX_SIDE, Medium
from generator.prompts.plan import read_backend
from generator.prompts.questions import look
from generator.validation import Count, read, record
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import EvaluationInstance, MetricError, MetricFacts, VideoScores

COLUMNS = ("app", "mot", "bg")
WORST, BEST = 1, 5

RUBRIC = """You see the primary reference of a person, and then frames of a generated video in order.
The prompt says what the video was to change; whatever it does not name was to stay as in that reference.
Score three things, each by itself and without regard to the others:
- app: how the person looks: hairstyle, clothing, accessories, expression
- mot: what the person does, in which order, and how the camera is placed and moves
- bg: the place behind the person, its light and time of day
First say in one sentence what you see of it ("reason"), then give a whole number ("score"):
5: all that was asked for is there throughout the video, and the rest is as in the primary reference
4: as 5, but for a detail that is easily overlooked
3: the most important part is there; something else is missing, was added, or comes and goes
2: hardly anything of what was asked for is there, or much has changed that was to stay
1: nothing of what was asked for is there, or the opposite is
Do not score who the person is, and do not score how beautiful the video is."""

FORM = form_of(
    "rubric",
    COLUMNS,
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "score": {"type": "integer", "minimum": WORST, "maximum": BEST},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    },
)

#: What of a model changes no figure, or must not be told.
_UNTOLD = {"backend", "model", "base_url", "api_key_file", "timeout_s", "price"}


@record
class RubricSettings:
    """Who is asked, and how often."""

    model: dict[str, Any]
    repeats: Count | None = None


@dataclass
class Rubric:
    """A `Metric` with the columns app, mot and bg."""

    facts: MetricFacts  # what its figures rest on
    model: Model  # who is asked
    repeats: int  # how often
    patience: Patience = field(default_factory=Patience)  # with failures
    wait: Callable[[float], object] = time.sleep  # called with the seconds before the next attempt
    _gone: str = ""

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Ask about one video; see `Metric`.

        Raises:
            MetricError: nobody answers, now or at an earlier video: no other video would fare better.
        """
        if self._gone:
            raise MetricError(self._gone)
        transcript: list[dict[str, Any]] = []
        asker = Asker(self.model, transcript, self.patience, self.wait)
        question = _question(video, instance, resolve)
        try:
            replies = [
                asker.ask(replace(question, question_id=f"{question.question_id}:{number}"))
                for number in range(self.repeats)
            ]
        except UnansweredError as error:
            if error.is_hopeless or transcript[-1]["faults"] == ["connection"]:
                self._gone = f"{error}; see to the model of the rubric, then evaluate again"
                raise MetricError(self._gone) from None
            return VideoScores({}, dict.fromkeys(COLUMNS, str(error)), {"transcript": transcript})
        scores = {column: [reply[column]["score"] for reply in replies] for column in COLUMNS}
        return VideoScores(
            {column: fmean(map(value, given)) for column, given in scores.items()},
            details={
                "scores": scores,
                "spread": {column: value(max(given)) - value(min(given)) for column, given in scores.items()},
                "transcript": transcript,
            },
        )


def make(options: MetricOptions) -> Rubric:
    """Load the model, or connect to nothing yet where it is served."""
    try:
        asked = read(RubricSettings, dict(options.settings))
    except ValueError as error:
        raise ValueError(f"{error}; its settings are model and repeats") from None
    spec = asked.model
    if spec.get("backend") not in ("server", "local"):
        raise ValueError(f"backend is {spec.get('backend')!r}; it must be server or local")
    sha256, licence = "", "of the model behind the server; not known here"
    read_backend("model", spec)
    loaded = dict(spec)
    if spec["backend"] == "local":
        weights = options.weights(spec["model"])
        sha256, licence, loaded["model"] = weights.sha256, weights.licence, str(weights.path)
    model = load_model(loaded, (options.models_folder or Path()).joinpath)
    # A local model says the most likely reply, which is the same each time.
    repeats = asked.repeats or (1 if spec["backend"] == "local" else 3)
    return Rubric(describe(spec, sha256, licence, repeats), model, repeats)


def describe(spec: Mapping[str, Any], weights_sha256: str, licence: str, repeats: int) -> MetricFacts:
    """The facts of a model as the settings name it; the address of a server is none of them."""
    asked = hashlib.sha256(f"{RUBRIC}\n{dict(FORM.schema)}".encode()).hexdigest()
    return MetricFacts(
        metric="rubric",
        columns=COLUMNS,
        model=spec["model"],
        weights_sha256=weights_sha256,
        licence=licence,
        frames=f"{GLANCES} at most, evenly spread, first and last among them",
        missing="a video without proper replies has no value",
        settings={
            "rubric_sha256": asked,
            "repeats": repeats,
            "max_side": MAX_SIDE,
            "value": f"mean of (score - {WORST}) / {BEST - WORST}",
            **{name: value for name, value in spec.items() if name not in _UNTOLD},
        },
    )


def value(score: int) -> float:
    """A score as a share: 0 for the worst, 1 for the best."""
    return (score - WORST) / (BEST - WORST)


def _question(video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> Question:
    primary = Medium("primary", resolve(instance.references[0][0]))
    media = {"the primary reference": primary, "the video": Medium(video.stem, video)}
    shown = tuple(Shown(caption, medium, look(medium)) for caption, medium in media.items())
    return Question(f"rubric:{video.stem}", RUBRIC, FORM, shown, {"prompt": instance.prompt})
