"""The request of a run of differential prompts, read and checked before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from generator.prompts.asking import Patience
from generator.prompts.forms import complaints
from generator.prompts.pictures import Medium
from generator.prompts.reading import PromptReader
from generator.prompts.stages import GAMMA

#: Questions that are open at a time, unless the request says otherwise.
CONCURRENCY = 4

_TEXT = {"type": "string", "minLength": 1}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_AMOUNT = {"type": "number", "minimum": 0}


def _fields(required: Mapping[str, Any], optional: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


_REQUEST = _fields(
    {
        "stage": {"const": "prompts"},
        "describer": {"type": "object"},
        "media": {"type": "object", "additionalProperties": _TEXT},
        "pairs": {
            "type": "array",
            "items": _fields({"pair_id": _TEXT, "primary": _TEXT, "target": _TEXT}, {}),
        },
    },
    {
        "mode": {"enum": ["two_stage", "one_step"]},
        "comparer": {"type": "object"},
        "gamma": _SHARE,
        "concurrency": {"type": "integer", "minimum": 1},
        # Who is to read the prompts: a tokenizer of the tokenizers library, and the most tokens.
        "readers": {
            "type": "object",
            "additionalProperties": _fields(
                {"tokenizer": _TEXT, "max_tokens": {"type": "integer", "minimum": 1}}, {}
            ),
        },
        "patience": _fields(
            {},
            {
                "attempts": {"type": "integer", "minimum": 1},
                "first_wait_s": _AMOUNT,
                "longest_wait_s": _AMOUNT,
            },
        ),
    },
)

#: The fields of each backend, beside its name.
_BACKENDS: Mapping[str, dict[str, Any]] = {
    "server": _fields(
        {"backend": _TEXT, "base_url": _TEXT, "model": _TEXT},
        {
            "api_key_file": _TEXT,
            "timeout_s": {"type": "number", "exclusiveMinimum": 0},
            "response_format": {"enum": ["json_schema", "json_object", "none"]},
            "options": {"type": "object"},
            "price": _fields({"prompt": _AMOUNT, "completion": _AMOUNT}, {}),
        },
    ),
    "local": _fields(
        {"backend": _TEXT, "model": _TEXT}, {"max_new_tokens": {"type": "integer", "minimum": 1}}
    ),
    "embedding": _fields({"backend": _TEXT, "model": _TEXT}, {}),
    "portraits": _fields(
        {"backend": _TEXT},
        {
            "errors": _fields(
                {},
                {
                    "omitted": _SHARE,
                    "invented": _SHARE,
                    "paraphrased": {"type": "boolean"},
                    "seed": {"type": "integer"},
                },
            )
        },
    ),
}


@dataclass(frozen=True)
class Pair:
    """One prompt to make: what changes from the primary reference to the target."""

    pair_id: str
    primary: Medium
    target: Medium


@dataclass(frozen=True)
class Plan:
    """What a run is to make, and by whom.

    Attributes:
        describer: the backend that looks at media, in either mode.
        comparer: the backend of the second stage; None in the one-step mode.
        gamma: similarity from which on an element counts as unchanged.
        concurrency: questions that are open at a time.
        patience: with failures.
        readers: of the models that the prompts are for, by name; a prompt that none of them reads to its end
            counts as missing.
        pairs: in the order of the request.
    """

    describer: Mapping[str, Any]
    comparer: Mapping[str, Any] | None
    gamma: float
    concurrency: int
    patience: Patience
    readers: Mapping[str, PromptReader]
    pairs: tuple[Pair, ...]


def read_plan(request: Mapping[str, Any], resolve: Callable[[str], Path]) -> Plan:
    """Check a request and read it.

    Args:
        request: content of `request.json`.
        resolve: finds the file of a path in it.

    Raises:
        ValueError: a field is missing, unknown or wrong; the message names it.
        OSError: the tokenizer of a reader is not there.
    """
    _check("request.json", request, _REQUEST)
    is_two_stage = request.get("mode", "two_stage") == "two_stage"
    if is_two_stage != ("comparer" in request):
        raise ValueError("request.json: mode two_stage needs a comparer, and mode one_step has none")
    media = {name: Medium(name, resolve(path)) for name, path in request["media"].items()}
    return Plan(
        describer=read_backend("describer", request["describer"], is_comparer=False),
        comparer=read_backend("comparer", request["comparer"], is_comparer=True) if is_two_stage else None,
        gamma=request.get("gamma", GAMMA),
        concurrency=request.get("concurrency", CONCURRENCY),
        patience=Patience(**request.get("patience", {})),
        readers={
            name: PromptReader.of_tokenizer(
                Tokenizer.from_str(resolve(spec["tokenizer"]).read_text(encoding="utf-8")), spec["max_tokens"]
            )
            for name, spec in request.get("readers", {}).items()
        },
        pairs=_pairs(request["pairs"], media),
    )


def read_backend(role: str, spec: Mapping[str, Any], *, is_comparer: bool = False) -> Mapping[str, Any]:
    """Check who is to answer.

    Args:
        role: names it in a refusal.
        spec: of `backends.load_model`, or of `backends.load_comparer`.
        is_comparer: whether sentence embeddings would do.

    Raises:
        ValueError: the backend or a field of it is unknown, missing or wrong.
    """
    known = [name for name in _BACKENDS if is_comparer or name != "embedding"]
    if spec.get("backend") not in known:
        raise ValueError(f"{role}: backend is {spec.get('backend')!r}; it must be one of {', '.join(known)}")
    if "api_key" in spec:
        raise ValueError(f"{role}: a request is kept, so it holds no api_key; name its file as api_key_file")
    _check(role, spec, _BACKENDS[spec["backend"]])
    return spec


def _pairs(items: list[Mapping[str, str]], media: Mapping[str, Medium]) -> tuple[Pair, ...]:
    counts = Counter(item["pair_id"] for item in items)
    for item in items:
        if counts[item["pair_id"]] > 1:
            raise ValueError(f"pair {item['pair_id']!r} is in the request twice; ids must differ")
        for role in ("primary", "target"):
            if item[role] not in media:
                raise ValueError(f"pair {item['pair_id']!r}: media has no {item[role]!r}; add its path")
    return tuple(Pair(item["pair_id"], media[item["primary"]], media[item["target"]]) for item in items)


def _check(place: str, value: Any, schema: Mapping[str, Any]) -> None:
    if found := complaints(value, schema):
        raise ValueError(f"{place}: {found[0]}")
