"""Any server that speaks the OpenAI protocol: vLLM, `transformers serve`, a hosted one."""

from __future__ import annotations

import base64
import email.utils
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import openai
from openai import OpenAI
from pydantic import Field

from generator.prompts.asking import ModelError, Question, Reply
from generator.prompts.backends.chat import Part, chat_message
from generator.prompts.plan import Address, ResponseFormat
from generator.validation import Amount, parse

#: Statuses that may be gone at the next attempt, beside all from 500 on.
_TRANSIENT = {408, 409, 425, 429}
#: Statuses that every other question would get as well.
_HOPELESS = {401, 402, 403, 404}


@dataclass(frozen=True)
class _Usage:
    prompt_tokens: Amount
    completion_tokens: Amount


@dataclass(frozen=True)
class _Message:
    content: str | None = None


@dataclass(frozen=True)
class _Choice:
    message: _Message
    finish_reason: Any = None


@dataclass(frozen=True)
class _Answer:
    """What a body that this client reads must hold; the rest is passed over."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class ChatServer:
    """A `Model` behind an address.

    Args:
        address: where it is.
        api_key: empty for servers that want none.
    """

    def __init__(self, address: Address, api_key: str = "") -> None:
        self.name = address.model
        self._address = address
        # The client refuses an empty key, and its own retries would neither be counted nor recorded.
        self._client = OpenAI(
            base_url=address.base_url,
            api_key=api_key or "none",
            timeout=address.timeout_s,
            max_retries=0,
        )

    def reply(self, question: Question) -> Reply:
        """One chat completion; see `Model`."""
        until = time.monotonic() + self._address.timeout_s
        # Not parsed, because the client builds its objects without looking at what a server sent; and read
        # in pieces, because its time-out starts anew with every byte.
        create: Any = self._client.chat.completions.with_streaming_response.create
        try:
            with create(
                model=self._address.model,
                messages=[chat_message(question, _show)],
                extra_body=dict(self._address.options),
                **_response_format(question, self._address.response_format),
            ) as answer:
                body = b"".join(_before(until, answer.iter_bytes()))
        except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError):
            raise ModelError("timeout", f"no answer within {self._address.timeout_s:g} s") from None
        except openai.APIStatusError as error:
            raise _status_error(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise ModelError("connection", f"{self._address.base_url}: {_one_line(str(cause))}") from None
        return _read_envelope(body)


def _before(until: float, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces, as long as they come in time; TimeoutError for one that comes too late."""
    for piece in pieces:
        if time.monotonic() > until:
            raise TimeoutError
        yield piece


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait that a server asked for, as a number or as a date; None where it did not.

    Headers have names in lower case; `now` is in seconds since the epoch.
    """
    value = headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _read_envelope(body: bytes) -> Reply:
    """The reply in a server's answer; ModelError where it is no chat completion, or one without a text."""
    try:
        answer = parse(_Answer, body)
    except ValueError as error:
        raise ModelError("malformed", f"the server's answer is no chat completion: {error}") from None
    choice, usage = answer.choices[0], answer.usage
    if not choice.message.content:
        raise ModelError("empty", f"the reply is empty (finish_reason {choice.finish_reason!r})")
    tokens = {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens} if usage else None
    return Reply(choice.message.content, tokens)


def _status_error(error: openai.APIStatusError) -> ModelError:
    status = error.status_code
    # An account without money is told so by 429 too; waiting does not fill it.
    is_broke = error.code == "insufficient_quota"
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return ModelError(
        f"http_{status}",
        f"HTTP {status}: {_one_line(str(said or error.message))}",
        is_transient=(status in _TRANSIENT or status >= 500) and not is_broke,
        is_hopeless=status in _HOPELESS or is_broke,
        retry_after_s=retry_after_s(error.response.headers, time.time()),
    )


def _response_format(question: Question, kind: ResponseFormat) -> dict[str, Any]:
    if kind == "none":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    form = question.form
    schema = {"name": form.name, "strict": True, "schema": dict(form.schema)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _show(picture: bytes) -> Part:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
