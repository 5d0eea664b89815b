"""How the videos of any model enter a benchmark: a folder of them, and a few facts.

entry.json                  {"model", "licence", "source", "references_used": "primary" or "all", "settings"};
                            "set" {"name", "sha256"} where whoever made them knew it
<instance_id>-<seed>.mp4    or <instance_id>.mp4, which stands for the first seed of the set
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from generator.files import replacing
from generator.frozen_set import write_facts
from generator.media.formats import MediaError
from generator.media.video import probe
from generator.validation import parse, record, to_json
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.benchmark.set import Benchmark, check_same

ENTRY_FILE = "entry.json"
ReferencesUsed = Literal["primary", "all"]
#: Names a video of a set.
Key = tuple[str, int]


@record
class EntryFacts:
    """`entry.json`: who made the videos, and with what.

    Raises:
        ValueError: a value that says nothing.
    """

    model: str = Field(min_length=1, description="its name")
    licence: str = Field(default="", description="of its weights")
    source: str = Field(default="", description="where to find it")
    references_used: ReferencesUsed = Field(
        default="primary", description="whether it saw the primary reference alone, or all"
    )
    settings: Mapping[str, Any] = Field(
        default_factory=dict,
        description="whatever else decided the videos; num_frames is what each of them must have",
    )
    of_set: Mapping[str, str] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("of_set", "set"),
        serialization_alias="set",
        description="Benchmark.identity; empty where nobody noted it",
    )

    @model_validator(mode="after")
    def _check_facts(self) -> Self:
        length = self.settings.get("num_frames", 1)
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"settings: num_frames is {length!r}; it must be a whole number of at least 1")
        if self.of_set and not {"name", "sha256"} <= self.of_set.keys():
            raise ValueError(f"set is {dict(self.of_set)}; it must have name and sha256, or be left out")
        return self

    def write(self, folder: Path) -> None:
        """Write it beside the videos, atomically."""
        with replacing(folder / ENTRY_FILE) as temporary:
            write_facts(temporary, to_json(self))


@record
class Entry:
    """What another model made of a set."""

    folder: Path = Field(description="of the videos")
    facts: EntryFacts = Field(description="who made them")
    videos: Mapping[Key, Path] = Field(description="those that can be scored, by instance and seed")
    holes: Mapping[Key, str] = Field(
        description="why each of the others cannot; with videos, every instance and seed of the set"
    )
    strangers: tuple[str, ...] = Field(description="files that the set does not ask for")

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
    facts = read_facts(folder)
    if facts.of_set:
        check_same(facts.of_set, benchmark.identity)
    names = [instance.instance_id for instance in benchmark.instances]
    videos, holes = find_videos(folder, names, benchmark.seeds, facts.settings.get("num_frames"))
    known = {ENTRY_FILE, *(path.name for path in videos.values())}
    known |= {name for key in holes for name in _names(key, benchmark.seeds)}
    strangers = (path.name for path in folder.iterdir() if path.name not in known)
    return Entry(folder, facts, videos, holes, tuple(sorted(strangers)))


def find_videos(
    folder: Path, instance_ids: Iterable[str], seeds: Sequence[int], num_frames: int | None = None
) -> tuple[dict[Key, Path], dict[Key, str]]:
    """Find the video of every instance and seed, and decode it.

    Args:
        folder: of the videos.
        instance_ids: in the order of the set.
        seeds: of each instance.
        num_frames: of every video; None: as many as most have.

    Returns:
        The videos that can be scored, and why each of the others cannot.
    """
    decoded: dict[Key, tuple[Path, int]] = {}
    holes: dict[Key, str] = {}
    keys = [(name, seed) for name in instance_ids for seed in seeds]
    for key in keys:
        path = next((folder / name for name in _names(key, seeds) if (folder / name).is_file()), None)
        if path is None:
            holes[key] = f"there is no {video_name(key)}"
            continue
        try:
            decoded[key] = path, _count_frames(path)
        except (MediaError, OSError) as error:
            holes[key] = f"{path.name} cannot be read: {' '.join(str(error).split())}"
    wanted = num_frames or _commonest([length for _, length in decoded.values()])
    for key, (path, length) in decoded.items():
        if length != wanted:
            holes[key] = f"{path.name} has {length} frames; {wanted} are expected"
    videos = {key: path for key, (path, _) in decoded.items() if key not in holes}
    return videos, {key: holes[key] for key in keys if key in holes}


def video_name(key: Key) -> str:
    """The file of an instance and seed."""
    return f"{key[0]}-{key[1]}.mp4"


def _names(key: Key, seeds: Sequence[int]) -> list[str]:
    """What its file may be called."""
    return [video_name(key), f"{key[0]}.mp4"] if len(seeds) == 1 else [video_name(key)]


def _count_frames(path: Path) -> int:
    facts = probe(path)
    if facts.is_damaged:
        raise OSError(f"it breaks off after {facts.num_frames} frames")
    return facts.num_frames


def _commonest(counts: list[int]) -> int:
    """The most frequent; the longest of equals."""
    return max(Counter(counts).items(), key=lambda item: (item[1], item[0]))[0] if counts else 0


def read_facts(folder: Path) -> EntryFacts:
    """Read `entry.json`.

    Raises:
        BenchmarkError: there is none, or it describes no entry.
    """
    path = folder / ENTRY_FILE
    try:
        return parse(EntryFacts, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise BenchmarkError(
            f'{folder} has no {ENTRY_FILE}; write one such as {{"model": "ConsisID", '
            '"licence": "Apache-2.0", "references_used": "primary"}'
        ) from None
    except ValueError as error:
        raise BenchmarkError(f"{path} is no description of an entry: {error}") from None
