"""Asking a model until it answers properly: checked replies, patience with servers, a record of it all."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from generator.prompts.forms import Form, ReplyError, read_reply
from generator.prompts.pictures import Medium
from generator.validation import Count, Number, record


@dataclass(frozen=True)
class Shown:
    """A medium as a question shows it."""

    caption: str  # tells it from the others
    medium: Medium
    pictures: tuple[bytes, ...]  # JPEG files, in order


@dataclass(frozen=True)
class Question:
    """What a model is asked."""

    question_id: str  # names it in the transcript
    instruction: str  # in words
    form: Form  # what the reply must be
    shown: tuple[Shown, ...] = ()  # what the model looks at
    facts: Mapping[str, Any] = field(default_factory=dict)  # data that belong to the question
    attempt: int = 1  # 1, then one more each time
    complaint: str = ""  # what was wrong with the last reply


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str  # as it came
    #: Tokens read (`prompt`) and written (`completion`); None where nobody reported them.
    usage: Mapping[str, int] | None = None


class ModelError(Exception):
    """A model gave no reply; the message is one line.

    Attributes:
        fault: a short name to count by, such as `http_429`.
        is_transient: asking again may help.
        is_hopeless: nothing else that this model is asked can succeed either.
        retry_after_s: how long the server asked to wait, where it did.
    """

    def __init__(
        self,
        fault: str,
        message: str,
        *,
        is_transient: bool = True,
        is_hopeless: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.is_transient = is_transient
        self.is_hopeless = is_hopeless
        self.retry_after_s = retry_after_s


class Model(Protocol):
    """Whatever answers questions in JSON: a server, a local network, the portrait world."""

    @property
    def name(self) -> str:
        """Names it in transcripts, and where its price is set."""

    def reply(self, question: Question) -> Reply:
        """Answer once; several threads may ask at a time.

        Raises:
            ModelError: there is no reply.
        """


class Record(Protocol):
    """Where attempts are written down: a `Transcript`, or a list."""

    def append(self, entry: dict[str, Any], /) -> None:
        """Add one attempt."""


class UnansweredError(Exception):
    """A question was given up; the message is one line that says why.

    Attributes:
        is_hopeless: the same would happen to every other question.
    """

    def __init__(self, message: str, *, is_hopeless: bool = False) -> None:
        super().__init__(message)
        self.is_hopeless = is_hopeless


@record
class Patience:
    """How often and after how long a question is asked again.

    Raises:
        ValueError: a value out of its range.
    """

    attempts: Count = Field(default=6, description="in all")
    first_wait_s: Number = Field(
        default=1.0, ge=0, description="the most seconds before the second attempt; it doubles each time"
    )
    longest_wait_s: Number = Field(
        default=120.0,
        description="no wait is longer; a server that asks for a longer one is not asked again",
    )

    @model_validator(mode="after")
    def _check_waits(self) -> Self:
        if self.first_wait_s > self.longest_wait_s:
            raise ValueError(
                f"first_wait_s is {self.first_wait_s}; it must be from 0 to longest_wait_s, "
                f"{self.longest_wait_s}"
            )
        return self

    def wait_s(self, attempt: int, retry_after_s: float | None, chance: float) -> float:
        """Seconds to wait after a failed attempt.

        Half of the wait is certain and half is left to chance, so that threads that failed together do not
        come back together. What the server asked for is always waited out.

        Args:
            attempt: that failed, 1 first.
            retry_after_s: what the server asked for.
            chance: uniform in [0, 1).
        """
        ceiling = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1))
        return (retry_after_s or 0.0) + ceiling * (0.5 + 0.5 * chance)


class Asker:
    """Asks one model, and writes down every attempt.

    Args:
        model: who is asked.
        transcript: where attempts are recorded.
        patience: with failures.
        wait: called with the seconds before the next attempt.
    """

    def __init__(
        self,
        model: Model,
        transcript: Record,
        patience: Patience | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.model = model
        self._transcript = transcript
        self._patience = patience or Patience()
        self._wait = wait

    def ask(self, question: Question) -> dict[str, Any]:
        """A checked reply: it has the question's form, or there is none.

        Raises:
            UnansweredError: no proper reply in all attempts, or no hope of one.
        """
        last = ""
        for attempt in range(1, self._patience.attempts + 1):
            question = replace(question, attempt=attempt)
            try:
                return self._ask_once(question)
            except ReplyError as error:
                last = f"a wrong reply: {error}"
                question = replace(question, complaint=str(error))
            except ModelError as error:
                last = str(error)
                self._wait_or_give_up(error, attempt)
        raise UnansweredError(f"{self.model.name}: no answer in {self._patience.attempts} attempts; {last}")

    def _wait_or_give_up(self, error: ModelError, attempt: int) -> None:
        if not error.is_transient:
            raise UnansweredError(f"{self.model.name}: {error}", is_hopeless=error.is_hopeless) from None
        longest = self._patience.longest_wait_s
        if error.retry_after_s is not None and error.retry_after_s > longest:
            raise UnansweredError(
                f"{self.model.name}: the server asks to wait {error.retry_after_s:g} s, and longest_wait_s "
                f"is {longest:g}; run again later"
            ) from None
        if attempt < self._patience.attempts:
            self._wait(self._patience.wait_s(attempt, error.retry_after_s, random.random()))

    def _ask_once(self, question: Question) -> dict[str, Any]:
        began, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
        reply: Reply | None = None
        faults: list[str] = []
        problem: str | None = None
        try:
            reply = self.model.reply(question)
            return read_reply(reply.text, question.form)
        except ReplyError as error:
            faults, problem = [str(fault) for fault in error.faults], str(error)
            raise
        except ModelError as error:
            faults, problem = [error.fault], str(error)
            raise
        finally:
            seconds = round(time.monotonic() - began, 3)
            entry = {"at": at, "seconds": seconds, "model": self.model.name}
            heard = {"reply": reply and reply.text, "usage": reply and reply.usage}
            self._transcript.append(entry | _told(question) | heard | {"faults": faults, "error": problem})


def _told(question: Question) -> dict[str, Any]:
    """A question as the transcript keeps it; pictures are kept by their sha256 alone."""
    return {
        "question_id": question.question_id,
        "attempt": question.attempt,
        "form": question.form.name,
        "instruction": question.instruction,
        "facts": dict(question.facts),
        "complaint": question.complaint,
        "shown": [
            {
                "caption": shown.caption,
                "medium": shown.medium.medium_id,
                "sha256": [hashlib.sha256(picture).hexdigest() for picture in shown.pictures],
            }
            for shown in question.shown
        ],
    }
