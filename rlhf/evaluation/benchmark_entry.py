"""How the videos of any model enter a benchmark: a folder of them, and a few facts.

entry.json                  {"model", "licence", "source", "references_used": "primary" or "all", "settings"};
                            "set" {"name", "sha256"} where whoever made them knew it
<instance_id>-<seed>.mp4    or <instance_id>.mp4, which stands for the first seed of the set
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from generator.media import MediaError, MediaFacts, replacing
from generator.video import probe
from rlhf.evaluation.benchmark import Benchmark, BenchmarkError, check_same

ENTRY_FILE = "entry.json"
ReferencesUsed = Literal["primary", "all"]
#: Names a video of a set.
Key = tuple[str, int]


@dataclass(frozen=True)
class EntryFacts:
    """`entry.json`: who made the videos, and with what.

    Attributes:
        model: its name.
        licence: of its weights.
        source: where to find it.
        references_used: whether it saw the primary reference alone, or all.
        settings: whatever else decided the videos; `num_frames` is what each of them must have.
        of_set: `Benchmark.identity`; empty where nobody noted it.

    Raises:
        ValueError: a value that says nothing.
    """

    model: str
    licence: str = ""
    source: str = ""
    references_used: ReferencesUsed = "primary"
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_set: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what says nothing."""
        if not self.model:
            raise ValueError("model is empty; name who made the videos")
        if self.references_used not in get_args(ReferencesUsed):
            raise ValueError(f"references_used is {self.references_used!r}; it must be primary or all")
        length = self.settings.get("num_frames", 1)
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"settings: num_frames is {length!r}; it must be a whole number of at least 1")
        if self.of_set and not {"name", "sha256"} <= self.of_set.keys():
            raise ValueError(f"set is {dict(self.of_set)}; it must have name and sha256, or be left out")

    def write(self, folder: Path) -> None:
        """Write it beside the videos, atomically."""
        content = {"set" if name == "of_set" else name: value for name, value in vars(self).items()}
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        with replacing(folder / ENTRY_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Entry:
    """What another model made of a set.

    Attributes:
        folder: of the videos.
        facts: who made them.
        videos: those that can be scored, by instance and seed.
        holes: why each of the others cannot; with `videos`, every instance and seed of the set.
        strangers: files that the set does not ask for.
    """

    folder: Path
    facts: EntryFacts
    videos: Mapping[Key, Path]
    holes: Mapping[Key, str]
    strangers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What is there and what is not, for people."""
        return {
            "model": self.facts.model,
            "videos": len(self.videos),
            "holes": {f"{name}-{seed}": why for (name, seed), why in self.holes.items()},
            "strangers": list(self.strangers),
        }


def read_entry(folder: Path | str, benchmark: Benchmark) -> Entry:
    """Look at all videos of an entry; what is wrong with one is named, and stops no other.

    A video of another length than `settings.num_frames`, or where that is not stated than most, is a hole.

    Raises:
        BenchmarkError: there is no `entry.json`, or the videos were made on another set.
    """
    folder = Path(folder)
    facts = _read_facts(folder)
    if facts.of_set:
        check_same(facts.of_set, benchmark.identity)
    found = _find(folder, benchmark)
    probed: dict[Key, MediaFacts] = {}
    holes: dict[Key, str] = {}
    for key, path in found.items():
        try:
            probed[key] = _probe_video(path)
        except (MediaError, OSError) as error:
            holes[key] = f"{path.name} cannot be read: {' '.join(str(error).split())}"
    wanted = facts.settings.get("num_frames") or _commonest([item.num_frames for item in probed.values()])
    for key, item in probed.items():
        if item.num_frames != wanted:
            holes[key] = f"{found[key].name} has {item.num_frames} frames; {wanted} are expected"
    keys = [(instance.instance_id, seed) for instance in benchmark.instances for seed in benchmark.seeds]
    holes |= {key: "there is no video" for key in keys if key not in found}
    taken = set(found.values())
    return Entry(
        folder=folder,
        facts=facts,
        videos={key: found[key] for key in keys if key not in holes},
        holes={key: holes[key] for key in keys if key in holes},
        strangers=tuple(sorted(p.name for p in folder.iterdir() if p not in taken and p.name != ENTRY_FILE)),
    )


def video_name(key: Key) -> str:
    """The file of an instance and seed."""
    return f"{key[0]}-{key[1]}.mp4"


def _find(folder: Path, benchmark: Benchmark) -> dict[Key, Path]:
    found = {}
    for instance in benchmark.instances:
        for seed in benchmark.seeds:
            names = [video_name((instance.instance_id, seed))]
            names += [f"{instance.instance_id}.mp4"] if seed == benchmark.seeds[0] else []
            for path in (folder / name for name in names):
                if path.is_file():
                    found[instance.instance_id, seed] = path
                    break
    return found


def _probe_video(path: Path) -> MediaFacts:
    """As `probe`, but a video whose end is missing is not readable."""
    facts = probe(path)
    if facts.is_damaged:
        raise OSError(f"it breaks off after {facts.num_frames} frames")
    return facts


def _commonest(counts: list[int]) -> int:
    """The most frequent; the longest of equals."""
    return max(Counter(counts).items(), key=lambda item: (item[1], item[0]))[0] if counts else 0


def _read_facts(folder: Path) -> EntryFacts:
    path = folder / ENTRY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        of_set = content.pop("set", {})
        return EntryFacts(**content, of_set=of_set)
    except (FileNotFoundError, NotADirectoryError):
        raise BenchmarkError(
            f'{folder} has no {ENTRY_FILE}; write one such as {{"model": "ConsisID", '
            '"licence": "Apache-2.0", "references_used": "primary"}'
        ) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is no description of an entry: {error}") from None
