"""Differential prompts for many pairs of media, as a run that can be killed, and resumed.

    request.json       see `plan`; it holds no secret: a server's key is in the file that api_key_file names
    metrics.jsonl      one line a finished description and a finished prompt; a resumed run reads them
    transcripts.jsonl  every attempt of every question, its pictures by their sha256
    missing.json       {"missing": [{"pair_id", "why"}], "summary"}: there only when the run ended incomplete
    result.json        {"prompts": [...], "summary": {...}}: there only when nothing is missing

Running an incomplete folder again asks only for what is missing. What parts of the run have made is taken
over, see `progress`; what they could not make is asked for again only by a run after this one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from generator.files import replacing
from generator.media.formats import MediaError
from generator.parts import forget_unmade, unmade_of
from generator.prompt_reading import look_at
from generator.prompts.asking import UnansweredError
from generator.prompts.backends.loading import Desk, read_prices
from generator.prompts.differential import differential_prompt
from generator.prompts.pictures import Medium
from generator.prompts.plan import Pair, Plan, read_plan
from generator.prompts.progress import TRANSCRIPT, Progress, everything_asked
from generator.prompts.stages import (
    Comparer,
    Describer,
    Description,
    Observer,
    compare_elements,
    prune,
)
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
        progress = Progress(run, len(plan.pairs))
        progress.restore(plan.pairs)
        for record in unmade_of(run):
            progress.note_unmade(record["pair_id"], record["why"])
        work(plan, progress, {}, wait)
        summary = summarise(everything_asked(run, plan.pairs), read_prices(plan.describer, plan.comparer))
        print(f"{len(progress.prompts)} of {len(plan.pairs)} prompts; {say(summary)}")
        _finish(plan, progress, summary)


def work(
    plan: Plan, progress: Progress, loaded: dict[str, Any], wait: Callable[[float], object] | None = None
) -> None:
    """Make what is neither there yet nor known to be unmade, and note it.

    Args:
        plan: what is asked for.
        progress: what there is.
        loaded: see `Desk`.
        wait: see `main`.
    """
    wanted = [
        pair
        for pair in plan.pairs
        if pair.pair_id not in progress.prompts and pair.pair_id not in progress.unmade
    ]
    if not wanted:
        return
    stop = threading.Event()
    transcript = Transcript(progress.run.path / TRANSCRIPT)
    desk = Desk(progress.run.resolve, transcript, plan.patience, wait or partial(_pause, stop), loaded)
    for pair, prompt in _each(wanted, _maker(plan, desk, progress), plan.concurrency, stop):
        refusal, warning = ("", "") if isinstance(prompt, Unmade) else look_at(plan.readers, prompt.text)
        if isinstance(prompt, Unmade) or refusal:
            progress.note_unmade(pair.pair_id, prompt.why if isinstance(prompt, Unmade) else refusal)
        else:
            progress.note_prompt(pair.pair_id, prompt, warning)


def _maker(plan: Plan, desk: Desk, progress: Progress) -> Make:
    """How a prompt is made, in either mode."""
    if plan.comparer is None:
        return partial(_observe, desk.model(plan.describer))
    comparer = desk.comparer(plan.comparer)
    return partial(_compare, _Descriptions(desk.model(plan.describer), progress), comparer, plan.gamma)


def _pause(stop: threading.Event, seconds: float) -> None:
    """Let time pass, unless the run ends.

    Raises:
        UnansweredError: it does, so nobody is asked again.
    """
    if stop.wait(seconds):
        raise UnansweredError("the run was ended")


class _Descriptions:
    """Every medium is described once, however many pairs it is in."""

    def __init__(self, describer: Describer, progress: Progress) -> None:
        self._describer, self._progress = describer, progress
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Description]] = {}

    def of(self, media: Sequence[Medium]) -> list[Description | Unmade]:
        """Of each medium; what somebody else is asking for is waited for last.

        Raises:
            UnansweredError: there is none, and there can be none of any other medium.
        """
        for medium in media:
            if answer := self._claim(medium.medium_id):
                self._describe(medium, answer)
                self._answer(medium.medium_id)
        return [self._answer(medium.medium_id) for medium in media]

    def _claim(self, name: str) -> Future[Description] | None:
        """Where to put the answer; None where somebody else does."""
        with self._lock:
            if name in self._progress.descriptions or name in self._asked:
                return None
            return self._asked.setdefault(name, Future())

    def _describe(self, medium: Medium, answer: Future[Description]) -> None:
        try:
            elements = self._describer.describe(medium)
            self._progress.note_description(medium.medium_id, elements)
            answer.set_result(elements)
        except BaseException as error:
            answer.set_exception(error)

    def _answer(self, name: str) -> Description | Unmade:
        if name not in self._asked:
            return self._progress.descriptions[name]
        try:
            return self._asked[name].result()
        except (UnansweredError, MediaError, OSError) as error:
            why = f"{name} is not described: {' '.join(str(error).split())}"
            if isinstance(error, UnansweredError) and error.is_hopeless:
                raise UnansweredError(why, is_hopeless=True) from None
            return Unmade(why)


def _compare(
    descriptions: _Descriptions, comparer: Comparer, gamma: float, pair: Pair
) -> DifferentialPrompt | Unmade:
    # Both, though one may fail: the other is in other pairs, too.
    primary, target = descriptions.of([pair.primary, pair.target])
    if isinstance(primary, Unmade):
        return primary
    if isinstance(target, Unmade):
        return target
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
        forget_unmade(progress.run)
        raise RunError(
            f"{len(unmade)} of {len(plan.pairs)} prompts are missing; {missing} says why; "
            "run the folder again to ask for them"
        )
    missing.unlink(missing_ok=True)
    forget_unmade(progress.run)
    progress.run.write_result({"prompts": [_row(pair, progress) for pair in plan.pairs], "summary": summary})


def _row(pair: Pair, progress: Progress) -> dict[str, Any]:
    """One entry of the result; `descriptions` are there in the two-stage mode."""
    media = {"primary": pair.primary.medium_id, "target": pair.target.medium_id}
    described = {
        role: progress.descriptions[name] for role, name in media.items() if name in progress.descriptions
    }
    return {"pair_id": pair.pair_id, **media, **progress.prompts[pair.pair_id], "descriptions": described}
