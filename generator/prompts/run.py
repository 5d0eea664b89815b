"""Differential prompts for many pairs of media, as a run that can be killed, and resumed.

    request.json       see `plan`; it holds no secret: a server's key is in the file that api_key_file names
    metrics.jsonl      one line a finished description and a finished prompt; a resumed run reads them
    transcripts.jsonl  every attempt of every question, its pictures by their sha256
    missing.json       {"missing": [{"pair_id", "why"}], "summary"}: there only when the run ended incomplete
    result.json        {"prompts": [...], "summary": {...}}: there only when nothing is missing

Running an incomplete folder again asks only for what is missing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from generator.files import replacing
from generator.media.formats import MediaError
from generator.prompt_reading import look_at
from generator.prompts.asking import UnansweredError
from generator.prompts.backends.loading import Desk, read_prices
from generator.prompts.differential import differential_prompt
from generator.prompts.plan import Pair, Plan, read_plan
from generator.prompts.stages import Comparer, Description, Observer, compare_elements, prune
from generator.prompts.transcript import Transcript, say, summarise
from generator.records import DifferentialPrompt
from generator.rundir import RunDir, RunError

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Unmade:
    """Why something could not be made, in one line."""

    why: str


#: Makes the prompt of a pair.
Make = Callable[[Pair], DifferentialPrompt | Unmade]


@dataclass
class Progress:
    """What a run has done, kept in `metrics.jsonl`, and what it could not do."""

    run: RunDir
    total: int  # prompts to make
    #: Of each medium, where two stages are asked for.
    descriptions: dict[str, Description] = field(default_factory=dict)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)  # as JSON, by pair
    undescribed: dict[str, str] = field(default_factory=dict)  # why there is no description of a medium
    unmade: dict[str, str] = field(default_factory=dict)  # why there is no prompt of a pair

    def restore(self) -> None:
        """Take over what earlier runs of the folder finished."""
        self.run.truncate_metrics(lambda line: True)
        for line in self.run.read_metrics():
            if "medium_id" in line:
                self.descriptions[line["medium_id"]] = line["elements"]
            else:
                self.prompts[line["pair_id"]] = line["prompt"]

    def note_description(self, medium_id: str, elements: Description) -> None:
        """Keep a description."""
        self.descriptions[medium_id] = elements
        self._note({"medium_id": medium_id, "elements": dict(elements)})

    def note_prompt(self, pair_id: str, prompt: DifferentialPrompt, warning: str = "") -> None:
        """Keep a prompt; `warning` says what a model would not read of it."""
        self.prompts[pair_id] = asdict(prompt)
        told = {"not_read": warning} if warning else {}
        self._note({"pair_id": pair_id, "prompt": self.prompts[pair_id], **told})

    def _note(self, line: Mapping[str, Any]) -> None:
        self.run.append_metrics({**line, "done": len(self.prompts), "total": self.total})


def main(run: RunDir, attached: bool, wait: Callable[[float], object] | None = None) -> None:
    """Make what the run folder asks for.

    Args:
        run: the folder.
        attached: see `RunDir.open`.
        wait: called with the seconds between two attempts; by default they pass.

    Raises:
        RunError: something is missing in the end.
        ValueError: the request cannot be used.
        OSError: a model or a key that it names is not there.
    """
    with run.open(attached=attached) as request:
        if run.is_done:
            return
        plan = read_plan(request, run.resolve)
        transcript = Transcript(run.path / "transcripts.jsonl")
        progress = Progress(run, len(plan.pairs))
        progress.restore()
        stop = threading.Event()
        desk = Desk(run.resolve, transcript, plan.patience, wait or partial(_pause, stop))
        _work(plan, desk, progress, stop)
        summary = summarise(transcript, read_prices(plan.describer, plan.comparer))
        print(f"{len(progress.prompts)} of {len(plan.pairs)} prompts; {say(summary)}")
        _finish(plan, progress, summary)


def _pause(stop: threading.Event, seconds: float) -> None:
    """Let time pass, unless the run ends.

    Raises:
        UnansweredError: it does, so nobody is asked again.
    """
    if stop.wait(seconds):
        raise UnansweredError("the run was ended")


def _work(plan: Plan, desk: Desk, progress: Progress, stop: threading.Event) -> None:
    """Make what is not there yet, and note it."""
    wanted = [pair for pair in plan.pairs if pair.pair_id not in progress.prompts]
    if plan.comparer is None:
        make: Make = partial(_observe, desk.model(plan.describer))
    else:
        comparer = desk.comparer(plan.comparer)
        _describe_all(wanted, plan, desk, progress, stop)
        make = partial(_compare, comparer, plan.gamma, progress)
    for pair, prompt in _each(wanted, make, plan.concurrency, stop):
        refusal, warning = ("", "") if isinstance(prompt, Unmade) else look_at(plan.readers, prompt.text)
        if isinstance(prompt, Unmade) or refusal:
            progress.unmade[pair.pair_id] = prompt.why if isinstance(prompt, Unmade) else refusal
        else:
            progress.note_prompt(pair.pair_id, prompt, warning)


def _describe_all(
    wanted: Sequence[Pair], plan: Plan, desk: Desk, progress: Progress, stop: threading.Event
) -> None:
    """Describe every medium of the pairs once, however many pairs it is in."""
    describer = desk.model(plan.describer)
    media = {medium: None for pair in wanted for medium in (pair.primary, pair.target)}
    undescribed = [medium for medium in media if medium.medium_id not in progress.descriptions]
    for medium, elements in _each(undescribed, describer.describe, plan.concurrency, stop):
        if isinstance(elements, Unmade):
            progress.undescribed[medium.medium_id] = elements.why
        else:
            progress.note_description(medium.medium_id, elements)


def _compare(comparer: Comparer, gamma: float, progress: Progress, pair: Pair) -> DifferentialPrompt | Unmade:
    for medium in (pair.primary, pair.target):
        if why := progress.undescribed.get(medium.medium_id):
            return Unmade(f"{medium.medium_id} is not described: {why}")
    primary, target = (progress.descriptions[m.medium_id] for m in (pair.primary, pair.target))
    return prune(primary, target, compare_elements(pair.pair_id, primary, target, comparer), gamma)


def _observe(observer: Observer, pair: Pair) -> DifferentialPrompt:
    changes = observer.changes(pair.pair_id, pair.primary, pair.target)
    targets = {element: target for element, (target, _) in changes.items()}
    return differential_prompt(None, targets, {element: said for element, (_, said) in changes.items()})


def _each(
    items: Sequence[Item], make: Callable[[Item], Made | Unmade], concurrency: int, stop: threading.Event
) -> Iterator[tuple[Item, Made | Unmade]]:
    """Make something of every item, several at a time, and give each as it ends.

    After an answer that says that nothing else can succeed either, such as a wrong key, the rest is not
    asked for.
    """
    hopeless: list[str] = []

    def attempt(item: Item) -> Made | Unmade:
        if hopeless:
            return Unmade(hopeless[0])
        try:
            return make(item)
        except UnansweredError as error:
            if error.is_hopeless:
                hopeless.append(str(error))
            return Unmade(str(error))
        except (MediaError, OSError) as error:
            return Unmade(" ".join(str(error).split()))

    with ThreadPoolExecutor(concurrency) as pool:
        futures = {pool.submit(attempt, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            stop.set()  # wakes who waits for a server
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finish(plan: Plan, progress: Progress, summary: Mapping[str, Any]) -> None:
    """Write the result, or exactly what is missing.

    Raises:
        RunError: something is missing.
    """
    missing = progress.run.path / "missing.json"
    unmade = [
        {"pair_id": pair.pair_id, "why": progress.unmade[pair.pair_id]}
        for pair in plan.pairs
        if pair.pair_id not in progress.prompts
    ]
    if unmade:
        with replacing(missing) as temporary:
            text = json.dumps({"missing": unmade, "summary": summary}, indent=1)
            temporary.write_text(f"{text}\n", encoding="utf-8")
        raise RunError(
            f"{len(unmade)} of {len(plan.pairs)} prompts are missing; {missing} says why; "
            "run the folder again to ask for them"
        )
    missing.unlink(missing_ok=True)
    progress.run.write_result({"prompts": [_row(pair, progress) for pair in plan.pairs], "summary": summary})


def _row(pair: Pair, progress: Progress) -> dict[str, Any]:
    """One entry of the result; `descriptions` are there in the two-stage mode."""
    media = {"primary": pair.primary.medium_id, "target": pair.target.medium_id}
    described = {
        role: progress.descriptions[name] for role, name in media.items() if name in progress.descriptions
    }
    return {"pair_id": pair.pair_id, **media, **progress.prompts[pair.pair_id], "descriptions": described}
