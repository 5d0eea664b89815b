"""Describing and comparing by transformers models that lie in a local folder; nothing is downloaded."""

from __future__ import annotations

import io
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from generator.model.precision import choose_precision
from generator.prompt_reading import UnreadPromptError
from generator.prompts.asking import ModelError, Question, Reply, UnansweredError
from generator.prompts.backends.chat import Part, chat_message

#: As transformers states it: more tokens than any model reads.
_NO_LIMIT = 10**9

logger = logging.getLogger(__name__)


class LocalModel:
    """A vision-language model as a `generator.prompts.asking.Model`, on the accelerator where there is one.

    Args:
        model: folder with the model, its processor and its chat template.
        max_new_tokens: the longest reply.

    Raises:
        ValueError: it is no folder, or its processor has no chat template.
    """

    def __init__(self, model: Path, max_new_tokens: int = 1024) -> None:
        self.name = model.name
        self._max_new_tokens = max_new_tokens
        self._processor = AutoProcessor.from_pretrained(_folder(model), local_files_only=True)
        if not self._processor.chat_template:
            raise ValueError(f"{model} has no chat template; add its chat_template.jinja")
        self._model = _ready(AutoModelForImageTextToText, model)
        # Threads take turns: they would only share the same device.
        self._turn = threading.Lock()

    def reply(self, question: Question) -> Reply:
        """The most likely reply; asked again, it differs by the complaint in the question.

        Raises:
            ModelError: the reply does not end within `max_new_tokens`.
        """
        inputs = self._processor.apply_chat_template(
            [chat_message(question, _show)],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self._model.device, dtype=self._model.dtype)
        read = inputs["input_ids"].shape[1]
        with self._turn, torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False)
        written = tokens[0, read:]
        if len(written) == self._max_new_tokens:
            raise ModelError("too_long", f"the reply is longer than max_new_tokens, {self._max_new_tokens}")
        text = self._processor.decode(written, skip_special_tokens=True)
        return Reply(text, {"prompt": read, "completion": len(written)})


class SentenceComparer:
    """A `generator.prompts.stages.Comparer` by sentence embeddings, on the accelerator where there is one.

    similarity = max(0, cos(e(primary), e(target))), with e the mean of the last hidden states over tokens.

    Args:
        model: folder with a text encoder and its tokenizer.

    Raises:
        ValueError: it is no folder.
    """

    def __init__(self, model: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(_folder(model), local_files_only=True)
        self._model = _ready(AutoModel, model)
        self._name = model.name
        # A tokenizer that names no limit has an astronomical one; then the model's positions end the text.
        positions = getattr(self._model.config, "max_position_embeddings", math.inf)
        said = self._tokenizer.model_max_length
        self._limit = said if said < _NO_LIMIT else positions
        self._turn = threading.Lock()

    def compare(
        self, question_id: str, primary: Mapping[str, str], target: Mapping[str, str]
    ) -> dict[str, float]:
        """Similarity of each element in [0, 1]; see `Comparer`."""
        elements = list(primary)
        try:
            embedded = self.embed([texts[element] for texts in (primary, target) for element in elements])
        except UnreadPromptError as error:
            raise UnansweredError(f"{self._name}: {error}") from None
        before, after = embedded.chunk(2)
        similarity = (before * after).sum(dim=1).clamp(0, 1)
        return dict(zip(elements, similarity.tolist(), strict=True))

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, (B, D) float32; padding does not count.

        Raises:
            UnreadPromptError: a text has more tokens than the model reads.
        """
        inputs = self._tokenizer(
            list(texts), padding=True, truncation=False, verbose=False, return_tensors="pt"
        )
        for text, tokens in zip(texts, inputs["attention_mask"].sum(dim=1).tolist(), strict=True):
            if tokens > self._limit:
                raise UnreadPromptError(
                    f"{text[:60]!r} has {tokens} tokens and the model compares {self._limit}; "
                    "have it described in fewer words, or take a comparer that reads more"
                )
        inputs = inputs.to(self._model.device)
        with self._turn, torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state.float()
        weight = inputs["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((hidden * weight).sum(dim=1), dim=1)


def _ready(kind: Any, model: Path) -> Any:
    """Load weights as they are stored; those in bfloat16 as float32 on a device that is slow in bfloat16."""
    loaded = kind.from_pretrained(model, local_files_only=True, use_safetensors=True, dtype="auto")
    precision = choose_precision()
    if loaded.dtype == torch.bfloat16:
        loaded = loaded.to(precision.dtype)
    logger.info("%s %s", model.name, precision)
    return loaded.to(precision.device).eval()


def _folder(model: Path) -> Path:
    if not model.is_dir():
        raise ValueError(f"{model} is no folder; put the model there, nothing is downloaded")
    return model


def _show(picture: bytes) -> Part:
    return {"type": "image", "image": Image.open(io.BytesIO(picture))}
