"""The prompts of a benchmark set: read from a text file, or written by a language model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.prompts.asking import Asker, Question
from generator.prompts.forms import Form, form_of
from generator.records import ELEMENTS
from rlhf.evaluation.records import Task

#: Prompts of one question: more of them repeat each other less, until the reply grows too long.
BATCH = 10
#: Questions a task, as a multiple of those that would do if no prompt came twice.
_ROUNDS = 3
#: What every primary reference shows, so that a prompt for anybody can name it.
KEPT = {"hairstyle": "hair", "clothing": "clothes"}
_NAMED = re.compile(r"\[([^][]+)\]")

WRITE = """Write prompts for videos of one person. Whoever makes the video sees photos or clips of that
person, of which the first shows how everything is that a prompt does not mention. Each prompt is for anybody:
it says nothing about sex, age, face, body or skin, and speaks of "the person".
"prompt" says only what changes from that first photo, in one to three sentences: where the person is, what
they do, how they look while doing it, how the camera sees it, what they wear or how their hair is.
"standard_prompt" says the same scene for somebody who sees no photo: one sentence more, and nothing new.
"changed" lists the elements that the prompt changes, one to four of them.
No two prompts, of these and of the earlier ones, may ask for the same place or the same action."""

KEEP = """The person keeps hair and clothes as the first photo shows them: change neither, and say in the
prompt that both stay."""


@dataclass(frozen=True)
class BenchmarkPrompt:
    """What is asked of every model, whoever the person is."""

    task: Task  # of the paper's two
    text: str  # what changes from the primary reference
    standard: str = ""  # the whole scene; "" where nobody wrote it
    changed: tuple[str, ...] = ()  # the elements that it changes; empty where nobody said
    named: tuple[str, ...] = ()  # the things that must look as the primary reference shows them


def read_prompts(path: Path, counts: Mapping[Task, int]) -> list[BenchmarkPrompt]:
    """Read prompts from a text file, one per line; empty lines do not count.

    Things that must stay as the primary reference shows them stand in [brackets]: a line that names one is a
    prompt of IEPT2V, any other of IPT2V. Behind a tab a line may hold the whole scene for models that know no
    primary reference.

    Args:
        path: of the file.
        counts: how many of each task; the first ones are taken.

    Returns:
        Those of IPT2V, then those of IEPT2V.

    Raises:
        ValueError: too few of a task, or one that is there twice.
        OSError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; save it as such") from None
    prompts = [_read_line(line) for line in lines if line.strip()]
    texts = [prompt.text for prompt in prompts]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise ValueError(f"{path}: {twice!r} is there twice; one prompt a line")
    taken = []
    for task, count in counts.items():
        of_task = [prompt for prompt in prompts if prompt.task is task]
        if len(of_task) < count:
            hint = "in [brackets] it names what must stay" if task is Task.IEPT2V else "it has no [brackets]"
            raise ValueError(
                f"{path} has {len(of_task)} prompts of {task} and {count} are asked for; add lines ({hint})"
            )
        taken += of_task[:count]
    return taken


def ask_prompts(asker: Asker, counts: Mapping[Task, int], seed: int) -> list[BenchmarkPrompt]:
    """Have a language model write prompts.

    Args:
        asker: of the model.
        counts: how many of each task.
        seed: told to the model, so that another one asks for others.

    Returns:
        Different ones, those of IPT2V first.

    Raises:
        ValueError: the model repeats itself.
        UnansweredError: it gave no proper answer.
    """
    prompts: dict[str, BenchmarkPrompt] = {}
    for task, count in counts.items():
        wanted = len(prompts) + count
        for turn in range(_ROUNDS * -(-count // BATCH)):
            if len(prompts) < wanted:
                asked = min(BATCH, wanted - len(prompts))
                for prompt in _ask(asker, task, asked, turn, seed, list(prompts)):
                    prompts.setdefault(prompt.text.casefold(), prompt)
        if len(prompts) < wanted:
            raise ValueError(
                f"{asker.model.name} wrote only {len(prompts) + count - wanted} different prompts of {task} "
                f"and {count} are asked for; ask for fewer, or ask another model"
            )
    return list(prompts.values())


def _ask(
    asker: Asker, task: Task, count: int, turn: int, seed: int, earlier: list[str]
) -> list[BenchmarkPrompt]:
    question = Question(
        f"prompts:{task}:{turn}",
        f"{WRITE}\n{KEEP}" if task is Task.IEPT2V else WRITE,
        _form(task, count),
        facts={"seed": seed, "earlier prompts": earlier},
    )
    reply = asker.ask(question)
    return [_written(task, item) for item in reply.values()]


def _form(task: Task, count: int) -> Form:
    """So many prompts, each of which may change only what its task lets change."""
    free = [element for element in ELEMENTS if task is Task.IPT2V or element not in KEPT]
    item: dict[str, Any] = {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "standard_prompt": {"type": "string"},
            "changed": {"type": "array", "items": {"enum": free}},
        },
        "required": ["prompt", "standard_prompt", "changed"],
        "additionalProperties": False,
    }
    return form_of("benchmark_prompts", [f"prompt_{number + 1}" for number in range(count)], item)


def _written(task: Task, item: Mapping[str, Any]) -> BenchmarkPrompt:
    return BenchmarkPrompt(
        task=task,
        text=_one_line(item["prompt"]),
        standard=_one_line(item["standard_prompt"]),
        changed=tuple(element for element in ELEMENTS if element in item["changed"]),
        named=tuple(KEPT.values()) if task is Task.IEPT2V else (),
    )


def _read_line(line: str) -> BenchmarkPrompt:
    said, _, standard = line.partition("\t")
    named = tuple(_one_line(name) for name in _NAMED.findall(said))
    return BenchmarkPrompt(
        task=Task.IEPT2V if named else Task.IPT2V,
        text=_one_line(_NAMED.sub(r"\1", said)),
        standard=_one_line(_NAMED.sub(r"\1", standard)),
        named=named,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
