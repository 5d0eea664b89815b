"""How a model reads a prompt: how many tokens it is, what would be cut, and which words it does not know.

    tokens = those of the cleaned text + the special tokens that the tokenizer adds

Diffusers cuts a longer prompt at the model's limit, and a closed vocabulary replaces what it does not know by
one token that means nothing. The video shows neither, so a prompt is read whole or refused. What counts is
the tokenizer as transformers builds it, with neither torch nor transformers, so that the web counts as the
GPU worker does.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ftfy
from tokenizers import Tokenizer

#: Tokens of a prompt where a model's folder does not say: those of Wan.
MAX_TOKENS = 512
#: The most characters of a prompt that a refusal repeats.
_SHOWN = 80
_MARKS = ".,;:!?\"'()"


class UnreadPromptError(ValueError):
    """The model would not read the whole prompt; the message is one line with value, limit and remedy."""


class Encoded(Protocol):
    """A text as the tokenizers library encodes it, special tokens included."""

    @property
    def ids(self) -> Sequence[int]:
        """Of the tokens."""

    @property
    def offsets(self) -> Sequence[tuple[int, int]]:
        """Of each token, the characters that it stands for."""

    @property
    def special_tokens_mask(self) -> Sequence[int]:
        """1 where the tokenizer added a token that is in no text."""


@dataclass(frozen=True)
class Reading:
    """What a model reads of a prompt."""

    tokens: int  # of the whole prompt, with the special ones
    limit: int  # the most that the model reads
    cut: str = ""  # the end of the prompt that it would not read; empty where it reads to the end
    unknown: tuple[str, ...] = ()  # words that it would not read, in order, each once

    @property
    def excess(self) -> int:
        """Tokens above the limit; 0 where it reads to the end."""
        return max(0, self.tokens - self.limit)

    @property
    def shown_cut(self) -> str:
        """The part that would be cut, in quotes, and shortened where it is long."""
        return _quoted(self.cut)

    @property
    def too_long(self) -> str:
        """One line that says what would be cut, and the remedy; empty where nothing would."""
        if not self.excess:
            return ""
        return (
            f"the prompt has {self.tokens} tokens and the model reads {self.limit}; {self.shown_cut} "
            f"would be cut; shorten it by {self.excess}"
        )

    @property
    def not_known(self) -> str:
        """One line that names the unknown words, and the remedy; empty where there are none."""
        if not self.unknown:
            return ""
        return f"the model does not know {_quoted(', '.join(self.unknown))}; say it in other words"

    @property
    def problem(self) -> str:
        """Why the model does not read the whole prompt; empty where it does."""
        return "; ".join(filter(None, (self.too_long, self.not_known)))


class PromptReader:
    """Counts what a model reads of a prompt.

    Args:
        encode: a cleaned text, without truncation and padding.
        special: ids of special tokens: they stand for no word, so that one that a text gives rise to is a
            word that the model does not know.
        limit: the most tokens that the model reads, special ones included.
    """

    def __init__(self, encode: Callable[[str], Encoded], special: frozenset[int], limit: int) -> None:
        self._encode, self._special, self.limit = encode, special, limit

    @classmethod
    def of_tokenizer(cls, tokenizer: Tokenizer, limit: int) -> PromptReader:
        """A reader around a tokenizer, which keeps no truncation and no padding."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        added = tokenizer.get_added_tokens_decoder()
        return cls(tokenizer.encode, frozenset(key for key, token in added.items() if token.special), limit)

    @classmethod
    def of_transformers(cls, tokenizer: Any, limit: int) -> PromptReader:
        """A reader around a fast tokenizer of transformers, as a pipeline holds one."""
        added = tokenizer.added_tokens_decoder
        return cls(
            lambda text: tokenizer(text, truncation=False, padding=False, verbose=False).encodings[0],
            frozenset(key for key, token in added.items() if token.special),
            limit,
        )

    @property
    def num_special(self) -> int:
        """Tokens that are added to every prompt; they count towards the limit."""
        return len(self._encode("").ids)

    def read(self, prompt: str) -> Reading:
        """Count a prompt as the pipeline would read it.

        Args:
            prompt: of any length.
        """
        text = clean_prompt(prompt)
        encoded = self._encode(text)
        added = encoded.special_tokens_mask
        offsets = [offset for offset, is_added in zip(encoded.offsets, added, strict=True) if not is_added]
        ids = [token for token, is_added in zip(encoded.ids, added, strict=True) if not is_added]
        kept = self.limit - (len(encoded.ids) - len(ids))
        cut = text[_word_start(text, offsets[max(0, kept)][0]) :] if len(ids) > kept else ""
        return Reading(len(encoded.ids), self.limit, cut, self._unknown(text, ids, offsets))

    def check(self, prompt: str) -> None:
        """Accept a prompt that the model reads whole.

        Raises:
            UnreadPromptError: it does not; the message says what would be cut and what it does not know.
        """
        if problem := self.read(prompt).problem:
            raise UnreadPromptError(problem)

    def check_length(self, prompt: str) -> None:
        """Accept a prompt that is not cut, whatever its words: for models of others, as they are.

        Raises:
            UnreadPromptError: it would be cut.
        """
        if problem := self.read(prompt).too_long:
            raise UnreadPromptError(problem)

    def _unknown(self, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> tuple[str, ...]:
        """Words that became a token without a meaning, or no token at all."""
        read, unread = bytearray(len(text)), bytearray(len(text))
        for token, (start, end) in zip(ids, offsets, strict=True):
            marks = unread if token in self._special else read
            marks[start:end] = b"\1" * (end - start)
        words: dict[str, None] = {}
        start = 0
        for word in text.split(" "):
            end = start + len(word)
            if any(
                unread[at] and not text[at].isspace() or not (read[at] or unread[at]) and text[at].isalnum()
                for at in range(start, end)
            ):
                words[word.strip(_MARKS) or word] = None
            start = end + 1
        return tuple(words)


def look_at(readers: Mapping[str, PromptReader], prompt: str, *, may_refuse: bool = True) -> tuple[str, str]:
    """What to tell whoever writes a prompt that several models may be given.

    Args:
        readers: of the models, by name.
        prompt: as written.
        may_refuse: whether these are all models that there are; else another one may read it.

    Returns:
        Why none of the models reads it to its end, empty where one does; and otherwise what single models
        would not read of it, empty where all read it whole.
    """
    readings = {name: reader.read(prompt) for name, reader in readers.items()}
    if may_refuse and readings and all(reading.too_long for reading in readings.values()):
        name = max(readings, key=lambda name: readings[name].limit)
        return readings[name].too_long, ""
    problems = [f"{name}: {reading.problem}" for name, reading in readings.items() if reading.problem]
    return "", "; ".join(problems)


def clean_prompt(prompt: str) -> str:
    """The text that Diffusers' Wan pipelines give to the tokenizer.

    Source: `prompt_clean` of `diffusers.pipelines.wan.pipeline_wan`, which a test holds this to.
    """
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())


def _word_start(text: str, offset: int) -> int:
    """Where the word at an offset begins, so that a refusal names whole words."""
    while offset < len(text) and text[offset].isspace():
        offset += 1
    return text.rfind(" ", 0, offset) + 1


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN].rstrip()} …"'
