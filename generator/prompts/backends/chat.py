"""A question as one chat message, for servers and local models alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from generator.prompts.asking import Question

Part = dict[str, Any]


def chat_message(question: Question, show: Callable[[bytes], Part]) -> dict[str, Any]:
    """The user's message: instruction, pictures with captions, data, the form, and what was wrong before.

    Args:
        question: what is asked.
        show: turns a JPEG file into the part of a message that shows it.
    """
    parts = [_text(question.instruction)]
    for shown in question.shown:
        if len(question.shown) > 1:
            parts.append(_text(f"{shown.caption}:"))
        parts += [show(picture) for picture in shown.pictures]
    if question.facts:
        parts.append(_text(json.dumps(question.facts, ensure_ascii=False)))
    schema = json.dumps(question.form.schema)
    parts.append(_text(f"Reply with one JSON object and nothing else. It must fit this schema: {schema}"))
    if question.complaint:
        parts.append(_text(f"Your last reply could not be used: {question.complaint}. Reply again."))
    return {"role": "user", "content": parts}


def _text(text: str) -> Part:
    return {"type": "text", "text": text}
