"""The request of a run of differential prompts, read and checked before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from tokenizers import Tokenizer

from generator.prompt_reading import PromptReader
from generator.prompts.asking import Patience
from generator.prompts.backends.portraits import Errors
from generator.prompts.pictures import Medium
from generator.prompts.stages import GAMMA
from generator.prompts.transcript import Price
from generator.validation import Count, Positive, Share, read, record

Word = Annotated[str, Field(min_length=1)]
#: What a server is told about the form of a reply; nothing, where it refuses to be told.
ResponseFormat = Literal["json_schema", "json_object", "none"]
#: Parts of a request that are not the caller's to choose.
_OWN = {"model", "messages", "response_format", "stream", "n"}


@record
class Address:
    """Where a model is served.

    Raises:
        ValueError: a value that cannot be used; the message names it.
    """

    base_url: Word = Field(description="of the API, such as http://127.0.0.1:8000/v1")
    model: Word = Field(description="its name there")
    timeout_s: Positive = Field(default=120.0, description="of one call")
    response_format: ResponseFormat = Field(
        default="json_schema", description="how the form of a reply is asked for"
    )
    options: Mapping[str, Any] = Field(
        default_factory=dict,
        description="further fields of every request, such as temperature or max_completion_tokens",
    )

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"base_url is {self.base_url!r}; it must be like http://127.0.0.1:8000/v1")
        if url.username or url.password:
            raise ValueError("base_url holds a user or a password; put the key into api_key_file instead")
        if owned := sorted(_OWN & self.options.keys()):
            raise ValueError(f"options hold {owned[0]!r}, which is set here; leave it out")
        return self


@record
class _Server(Address):
    api_key_file: Word | None = None
    price: Price | None = None


@record
class _Local:
    model: Word
    max_new_tokens: Count | None = None


@record
class _Embedding:
    model: Word


@record
class _Portraits:
    errors: Errors | None = None


#: The fields of each backend, beside its name.
_BACKENDS = {"server": _Server, "local": _Local, "embedding": _Embedding, "portraits": _Portraits}


@record
class _PairItem:
    pair_id: Word
    primary: Word
    target: Word


@record
class _Reader:
    tokenizer: Word
    max_tokens: Count


@record
class _Request:
    stage: Literal["prompts"]
    describer: dict[str, Any]
    media: dict[str, Word]
    pairs: tuple[_PairItem, ...]
    mode: Literal["two_stage", "one_step"] = "two_stage"
    comparer: dict[str, Any] | None = None
    gamma: Share = GAMMA
    concurrency: Count = Field(default=4, description="questions that are open at a time")
    readers: dict[str, _Reader] = Field(
        default_factory=dict, description="who is to read the prompts: a tokenizer, and the most tokens"
    )
    patience: Patience = Field(default_factory=Patience)


@dataclass(frozen=True)
class Pair:
    """One prompt to make: what changes from the primary reference to the target."""

    pair_id: str
    primary: Medium
    target: Medium


@dataclass(frozen=True)
class Plan:
    """What a run is to make, and by whom."""

    describer: Mapping[str, Any]  # the backend that looks at media, in either mode
    comparer: Mapping[str, Any] | None  # the backend of the second stage; None in the one-step mode
    gamma: float  # similarity from which on an element counts as unchanged
    concurrency: int  # questions that are open at a time
    patience: Patience
    #: Of the models that the prompts are for, by name; a prompt that none of them reads to its end counts as
    #: missing.
    readers: Mapping[str, PromptReader]
    pairs: tuple[Pair, ...]  # in the order of the request


def read_plan(request: Mapping[str, Any], resolve: Callable[[str], Path]) -> Plan:
    """Check a request and read it.

    Args:
        request: content of `request.json`.
        resolve: finds the file of a path in it.

    Raises:
        ValueError: a field is missing, unknown or wrong; the message names it.
        OSError: the tokenizer of a reader is not there.
    """
    try:
        asked = read(_Request, request)
    except ValueError as error:
        raise ValueError(f"request.json: {error}") from None
    if (asked.mode == "two_stage") != (asked.comparer is not None):
        raise ValueError("request.json: mode two_stage needs a comparer, and mode one_step has none")
    media = {name: Medium(name, resolve(path)) for name, path in asked.media.items()}
    return Plan(
        describer=read_backend("describer", asked.describer),
        comparer=asked.comparer and read_backend("comparer", asked.comparer, is_comparer=True),
        gamma=asked.gamma,
        concurrency=asked.concurrency,
        patience=asked.patience,
        readers={
            name: PromptReader.of_tokenizer(
                Tokenizer.from_str(resolve(reader.tokenizer).read_text(encoding="utf-8")), reader.max_tokens
            )
            for name, reader in asked.readers.items()
        },
        pairs=_pairs(asked.pairs, media),
    )


def read_backend(role: str, spec: Mapping[str, Any], *, is_comparer: bool = False) -> Mapping[str, Any]:
    """Check who is to answer.

    Args:
        role: names it in a refusal.
        spec: of `backends.load_model`, or of `Desk.comparer`.
        is_comparer: whether sentence embeddings would do.

    Raises:
        ValueError: the backend or a field of it is unknown, missing or wrong.
    """
    known = [name for name in _BACKENDS if is_comparer or name != "embedding"]
    if spec.get("backend") not in known:
        raise ValueError(f"{role}: backend is {spec.get('backend')!r}; it must be one of {', '.join(known)}")
    if "api_key" in spec:
        raise ValueError(f"{role}: a request is kept, so it holds no api_key; name its file as api_key_file")
    try:
        read(_BACKENDS[spec["backend"]], {name: value for name, value in spec.items() if name != "backend"})
    except ValueError as error:
        raise ValueError(f"{role}: {error}") from None
    return spec


def _pairs(items: tuple[_PairItem, ...], media: Mapping[str, Medium]) -> tuple[Pair, ...]:
    counts = Counter(item.pair_id for item in items)
    for item in items:
        if counts[item.pair_id] > 1:
            raise ValueError(f"pair {item.pair_id!r} is in the request twice; ids must differ")
        for name in (item.primary, item.target):
            if name not in media:
                raise ValueError(f"pair {item.pair_id!r}: media has no {name!r}; add its path")
    return tuple(Pair(item.pair_id, media[item.primary], media[item.target]) for item in items)
