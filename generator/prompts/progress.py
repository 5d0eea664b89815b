"""What a run of prompts has done: in `metrics.jsonl`, and in files where it is worked on in parts.

prompts/<pair_id>.json         a finished prompt, as its metric line has it
descriptions/<sha256>.json     a finished description, likewise, by the hash of its medium's name
transcripts/<pair_id>.jsonl    the questions that a part asked until it was done with this pair
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from generator.files import replacing
from generator.prompts.plan import Pair
from generator.prompts.stages import Description
from generator.prompts.transcript import Transcript
from generator.records import DifferentialPrompt
from generator.rundir import RunDir


def prompt_file(pair_id: str) -> str:
    """Where a part keeps a prompt."""
    return f"prompts/{pair_id}.json"


def description_file(medium_id: str) -> str:
    """Where a part keeps a description."""
    return f"descriptions/{hashlib.sha256(medium_id.encode()).hexdigest()}.json"


def transcript_file(pair_id: str) -> str:
    """Where a part keeps what was asked."""
    return f"transcripts/{pair_id}.jsonl"


@dataclass
class Progress:
    """What a run has done, kept in `metrics.jsonl`, and what it could not do."""

    run: RunDir
    total: int  # prompts to make
    #: Of each medium, where two stages are asked for.
    descriptions: dict[str, Description] = field(default_factory=dict)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)  # as JSON, by pair
    unmade: dict[str, str] = field(default_factory=dict)  # why there is no prompt of a pair
    last: float = field(default_factory=time.monotonic)  # when the last prompt was finished

    def restore(self, pairs: Iterable[Pair]) -> None:
        """Take over what earlier runs of the folder finished, and parts of it."""
        self.run.truncate_metrics(lambda line: True)
        for line in self.run.read_metrics():
            if "medium_id" in line:
                self.descriptions[line["medium_id"]] = line["elements"]
            else:
                self.prompts[line["pair_id"]] = line["prompt"]
        for pair in pairs:
            for medium in (pair.primary, pair.target):
                told = self._told(description_file(medium.medium_id))
                if told and medium.medium_id not in self.descriptions:
                    self.descriptions[medium.medium_id] = told["elements"]
                    self._note(told)
            if (told := self._told(prompt_file(pair.pair_id))) and pair.pair_id not in self.prompts:
                self.prompts[pair.pair_id] = told["prompt"]
                self._note({**told, "seconds": 0.0})

    def _told(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.run.path / name).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def note_description(self, medium_id: str, elements: Description) -> None:
        """Keep a description; several threads may at a time."""
        self._keep(description_file(medium_id), line := {"medium_id": medium_id, "elements": dict(elements)})
        self.descriptions[medium_id] = elements
        self._note(line)

    def note_prompt(self, pair_id: str, prompt: DifferentialPrompt, warning: str = "") -> None:
        """Keep a prompt; `warning` says what a model would not read of it."""
        told = {"not_read": warning} if warning else {}
        self.prompts[pair_id] = asdict(prompt)
        line = {"pair_id": pair_id, "prompt": self.prompts[pair_id], **told}
        self._keep(prompt_file(pair_id), line)
        now = time.monotonic()
        self._note({**line, "seconds": round(now - self.last, 3)})
        self.last = now

    def note_unmade(self, pair_id: str, why: str) -> None:
        """Keep why there is no prompt."""
        self.unmade[pair_id] = why

    def _keep(self, name: str, line: Mapping[str, Any]) -> None:
        """Nowhere but in the metrics."""

    def _note(self, line: Mapping[str, Any]) -> None:
        self.run.append_metrics({**line, "done": len(self.prompts), "total": self.total})


@dataclass
class PartProgress(Progress):
    """What a part has done: each thing in a file, which is stored before the metrics tell of it."""

    told: int = 0  # bytes of the transcript that are kept with a pair

    def note_prompt(self, pair_id: str, prompt: DifferentialPrompt, warning: str = "") -> None:
        """Keep a prompt, and what was asked until now."""
        self._keep_transcript(pair_id)
        super().note_prompt(pair_id, prompt, warning)

    def note_unmade(self, pair_id: str, why: str) -> None:
        """Keep why there is no prompt, and what was asked until now."""
        self._keep_transcript(pair_id)
        super().note_unmade(pair_id, why)

    def _keep(self, name: str, line: Mapping[str, Any]) -> None:
        place = self.run.path / name
        place.parent.mkdir(exist_ok=True)
        with replacing(place) as temporary:
            temporary.write_text(json.dumps(line, sort_keys=True), encoding="utf-8")

    def _keep_transcript(self, pair_id: str) -> None:
        if not (place := self.run.path / TRANSCRIPT).exists():
            return
        with open(place, "rb") as file:
            file.seek(self.told)
            told = file.read()
        told = told[: told.rfind(b"\n") + 1]
        self.told += len(told)
        target = self.run.path / transcript_file(pair_id)
        target.parent.mkdir(exist_ok=True)
        with open(target, "ab") as file:
            file.write(told)


#: Every attempt of every question that this folder's own run asked.
TRANSCRIPT = "transcripts.jsonl"


def everything_asked(run: RunDir, pairs: Iterable[Pair]) -> Iterable[dict[str, Any]]:
    """The attempts of all questions, of the parts and of the run itself."""
    places: list[Path] = [run.path / transcript_file(pair.pair_id) for pair in pairs]
    for place in [*places, run.path / TRANSCRIPT]:
        yield from Transcript(place)
