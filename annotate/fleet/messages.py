"""What the site and its GPU workers say to each other: signed, and harmless when it comes twice or late."""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

#: Queues, and the tasks that their messages are for.
SHARD_QUEUE, RUN_QUEUE, REPORT_QUEUE = "gpu", "runs", "fleet"
SHARD_TASK, RUN_TASK, REPORT_TASK = "fleet.work", "fleet.run", "annotate.jobs.tasks.take_report"
STOP_COMMAND = "stop_work"
#: How often a worker says that it is alive, and one for whole runs that it is there.
ALIVE_EVERY_S, HERE_EVERY_S = 10.0, 20.0

Message = TypeVar("Message", bound="ShardMessage | RunMessage | Report | Stop")


def queue_for(devices: int) -> str:
    """Where whole runs on so many devices wait, for workers that have them."""
    return RUN_QUEUE if devices == 1 else f"{RUN_QUEUE}-{devices}"


class ForgedMessage(Exception):
    """A message that nobody with the site's key has signed."""


class Kind(StrEnum):
    """What a worker reports."""

    HELLO = "hello"  # its process is new, so whatever one of its name had begun is lost
    BEGUN = "begun"
    ALIVE = "alive"
    MADE = "made"
    ENDED = "ended"
    BACK = "back"  # in good order; `error` says why this worker could not do it
    FAILED = "failed"
    HERE = "here"  # a worker for whole runs, and the devices that it has


@dataclass(frozen=True, kw_only=True)
class ShardMessage:
    """A shard to work on: the part from `start` to before `stop` of what the request in `folder` asks for.

    `parts` is the module that cuts it out and makes it, see `generator.parts`. Of the row's tickets only the
    newest counts, so a message that comes late or twice does nothing.
    """

    shard: int
    number: int
    ticket: str
    folder: str
    start: int
    stop: int
    parts: str
    software: str


@dataclass(frozen=True, kw_only=True)
class RunMessage:
    """A whole run to work on, by the command of its stage; `ticket` tells this message from others."""

    run: int
    ticket: str
    folder: str
    command: str
    devices: int
    software: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker says of a shard, of a whole run, or of itself.

    `claim` tells this attempt from another one with the same message. Of a shard, `item` was stored just now,
    and `done` of its items are stored; `made` names these when the attempt ends. Of a run, `lines` of its
    metrics are stored, with the files that they announce.
    """

    kind: Kind
    worker: str
    shard: int = 0
    run: int = 0
    ticket: str = ""
    claim: str = ""
    device: str = ""
    devices: int = 0
    software: str = ""
    lines: int = 0
    item: str = ""
    seconds: float = 0.0
    done: int = 0
    made: list[str] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The shard or the run is not this attempt's, or not any more."""

    claim: str
    ticket: str


def seal(key: str, message: ShardMessage | RunMessage | Report | Stop) -> str:
    """The message as text, signed; its type is signed with it, so that none can pass for another."""
    content = json.dumps([type(message).__name__, asdict(message)], sort_keys=True)
    return f"{_signature(key, content)} {content}"


def unseal(key: str, sealed: object, message: type[Message]) -> Message:
    """The message of this type that a text holds.

    Raises:
        ForgedMessage: it was not signed with this key, was altered, or is another message.
    """
    signature, _, content = sealed.partition(" ") if isinstance(sealed, str) else ("", "", "")
    if not hmac.compare_digest(signature.encode(), _signature(key, content).encode()):
        raise ForgedMessage(
            f"refused a {message.__name__} whose signature is wrong; "
            "if it came from this site, FLEET_KEY differs between its machines"
        )
    name, values = json.loads(content)
    if name != message.__name__ or values.keys() != {one.name for one in fields(message)}:
        raise ForgedMessage(f"refused a {name} of another version or where a {message.__name__} belongs")
    return message(**values)


def _signature(key: str, content: str) -> str:
    return hmac.new(key.encode(), content.encode(), "sha256").hexdigest()
