"""Bringing in videos that are named in another way: by the number of a prompt, or by its words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from generator.files import replacing
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.benchmark.entry import EntryFacts, Key, video_name
from rlhf.evaluation.benchmark.set import Benchmark
from rlhf.evaluation.records import EvaluationInstance

NameBy = Literal["index", "prompt"]
_NUMBERS = re.compile(r"\D*(\d+)(?:[-_ ](\d+))?")
_SAMPLE = re.compile(r"(.*)[-_ ](\d+)")


@dataclass(frozen=True)
class Brought:
    """What became of a folder of videos."""

    taken: Mapping[Key, str]  # the file that each instance and seed got
    left_out: Mapping[str, str]  # why a file was not taken

    def to_json(self) -> dict[str, Any]:
        """For people."""
        return {"taken": len(self.taken), "left_out": dict(self.left_out)}


def enter_videos(
    folder: Path, benchmark: Benchmark, videos: Path, name_by: NameBy, facts: EntryFacts, first: int = 0
) -> Brought:
    """Copy videos into an entry's folder under the names of the set.

    Args:
        folder: of the entry; made when missing.
        benchmark: the set.
        videos: folder of `.mp4` files.
        name_by: "index": the number of the prompt in the order of the set, such as `12.mp4` or
            `prompt_012.mp4`; "prompt": the prompt's words or their beginning, whatever stands between them.
            A number behind that says which sample of the prompt it is, 0 first.
        facts: who made them.
        first: number of the first prompt.

    Raises:
        BenchmarkError: there is no video in the folder.
    """
    files = sorted(videos.glob("*.mp4"))
    if not files:
        raise BenchmarkError(f"{videos} has no .mp4 file; give the folder of the model's videos")
    folder.mkdir(parents=True, exist_ok=True)
    taken: dict[Key, str] = {}
    left_out: dict[str, str] = {}
    for file in files:
        key = (
            _by_index(file.stem, benchmark, first) if name_by == "index" else _by_words(file.stem, benchmark)
        )
        if isinstance(key, str):
            left_out[file.name] = key
        elif key in taken:
            left_out[file.name] = f"{taken[key]} is taken for the same instance and seed"
        else:
            taken[key] = file.name
            with replacing(folder / video_name(key)) as temporary:
                shutil.copyfile(file, temporary)
    facts.write(folder)
    return Brought(taken, left_out)


def _by_index(stem: str, benchmark: Benchmark, first: int) -> Key | str:
    numbers = _NUMBERS.fullmatch(stem)
    if numbers is None:
        return "its name has no number of a prompt"
    number = int(numbers[1]) - first
    if not 0 <= number < len(benchmark.instances):
        last = first + len(benchmark.instances) - 1
        return f"the set has no prompt {numbers[1]}; they go from {first} to {last}"
    return _key(benchmark.instances[number], int(numbers[2] or 0), benchmark.seeds)


def _by_words(stem: str, benchmark: Benchmark) -> Key | str:
    """Whole names first, since a prompt may end in a number itself."""
    meant = _meant(stem, benchmark)
    sample = 0
    if not meant and (parts := _SAMPLE.fullmatch(stem)):
        meant, sample = _meant(parts[1], benchmark), int(parts[2])
    if len(meant) != 1:
        return f"{len(meant)} prompts of the set begin like this"
    return _key(meant[0], sample, benchmark.seeds)


def _meant(text: str, benchmark: Benchmark) -> list[EvaluationInstance]:
    """Instances whose prompt has these words, or else begins with them."""
    words = _words(text)
    prompts = [
        (instance, [_words(said) for said in (instance.prompt, instance.standard_prompt)])
        for instance in benchmark.instances
    ]
    whole = [instance for instance, said in prompts if words in said]
    return whole or [
        instance for instance, said in prompts if words and any(text.startswith(words) for text in said)
    ]


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _key(instance: EvaluationInstance, sample: int, seeds: Sequence[int]) -> Key | str:
    if sample >= len(seeds):
        return f"the set asks for {len(seeds)} videos of an instance, and this is number {sample}, from 0"
    return instance.instance_id, seeds[sample]
