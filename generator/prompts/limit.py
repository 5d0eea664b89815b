"""How long a prompt the text encoder of a base reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from generator.prompt_reading import MAX_TOKENS, PromptReader

#: Classes of transformers that take `tokenizer.json` as it is, and those that build another Unigram from it.
_AS_WRITTEN = {"TokenizersBackend", "PreTrainedTokenizerFast"}
_OF_T5 = {"T5Tokenizer", "T5TokenizerFast"}


@dataclass(frozen=True)
class PromptLimit:
    """What decides how a model reads prompts."""

    max_tokens: int  # the most that it reads, special ones included
    special_tokens: int  # of these, the ones that are added to every prompt
    tokenizer: str  # in the JSON of the tokenizers library, as transformers would build it
    sha256: str  # of `tokenizer`


def find_limit(base: str) -> PromptLimit | None:
    """How a model in the Diffusers layout reads prompts, where its files are on this machine.

    Args:
        base: its folder, or the hub id of one that was downloaded before; nothing is downloaded.

    Returns:
        None where there is no tokenizer here, or one of a class that nobody counts with here.

    Raises:
        ValueError: a file is damaged.
    """
    files = [_model_file(base, name) for name in ("model_index.json", *_TOKENIZER_FILES)]
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in files if file is not None]
    if len(contents) < len(files):
        return None
    index, config, tokenizer = contents
    kind = config.get("tokenizer_class")
    if kind in _OF_T5:
        tokenizer = _as_t5(tokenizer)
    elif kind not in _AS_WRITTEN:
        return None
    try:
        built = Tokenizer.from_str(json.dumps(tokenizer))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{files[2]} holds no tokenizer: {error}") from None
    built.no_truncation()
    built.no_padding()
    text = built.to_str()
    limit = index.get("max_sequence_length") or MAX_TOKENS
    special = PromptReader.of_tokenizer(built, limit).num_special
    return PromptLimit(limit, special, text, hashlib.sha256(text.encode()).hexdigest())


_TOKENIZER_FILES = ("tokenizer/tokenizer_config.json", "tokenizer/tokenizer.json")


def _model_file(base: str, name: str) -> Path | None:
    """A file of a model's folder, or of a hub id's copy in the cache."""
    folder = Path(base)
    if folder.is_dir() or folder.is_absolute() or base.count("/") != 1:
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache  # slow to load, and hardly ever asked

    cached = try_to_load_from_cache(base, name)
    return Path(cached) if isinstance(cached, str) else None


def _as_t5(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """What transformers' `T5Tokenizer` takes over from a `tokenizer.json`, and what it decides by itself.

    Source: `transformers.models.t5.tokenization_t5`, which a test holds this to.
    """
    given = tokenizer.get("normalizer") or {}
    steps = given.get("normalizers", [given])
    split: dict[str, Any] = {"type": "WhitespaceSplit"}
    mark = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        **tokenizer,
        "model": {**tokenizer["model"], "unk_id": 2, "byte_fallback": False},
        "normalizer": next((step for step in steps if step.get("type") == "Precompiled"), None),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, mark]},
    }
