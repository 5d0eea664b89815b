"""What a supervised run learns from: a file of JSON lines, one training instance a line.

    {"instance_id": "17", "prompt": "The background changes to a beach.", "id_group": "person 3",
     "references": [{"path": "a.png", "kind": "photo"}, ...], "target": {"path": "b.mp4"}}

The first reference is the primary one, `kind` is `photo`, `half_body` or `clip`, paths are relative to the
file, `id_group` is optional. Every line is checked, and every file looked for, before anything costly begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from generator.media.formats import MediaFacts
from generator.media.video import paced_length, probe
from generator.records import ReferenceKind, SamplerSettings
from generator.validation import parse, record

#: Share by which a clip may have fewer frames per second than a run; of a hundred frames it repeats so many.
RATE_TOLERANCE = 0.05

#: The file of a dataset that is given as a folder.
INSTANCES_FILE = "instances.jsonl"


class DatasetError(ValueError):
    """A dataset cannot be trained on; the message is one line with file, line, value and remedy."""


@dataclass(frozen=True)
class _Target:
    path: str


@dataclass(frozen=True)
class _Reference:
    path: str
    kind: ReferenceKind


@record
class _Line:
    instance_id: str
    prompt: str
    references: tuple[_Reference, ...] = Field(min_length=1)
    target: _Target = Field()
    id_group: str = ""


@record
class TrainingInstance:
    """One training instance."""

    instance_id: str = Field(description="unique; names the sample clips of this instance")
    prompt: str = Field(description="the differential prompt's text; may be empty when nothing changes")
    references: tuple[tuple[Path, ReferenceKind], ...] = Field(
        description="file and kind of each, the primary first"
    )
    target: Path = Field(description="the clip to learn; never one of the references")
    id_group: str = Field(default="", description="the person, or empty where nobody said")


def dataset_file(path: Path) -> Path:
    """The JSON lines of a dataset that is given as this file or as their folder."""
    return path / INSTANCES_FILE if path.is_dir() else path


def read_dataset(path: Path) -> list[TrainingInstance]:
    """Read and check a dataset.

    Args:
        path: the file, or a folder that holds `instances.jsonl`.

    Returns:
        At least one instance, in the order of the lines.

    Raises:
        DatasetError: the first thing that is wrong.
    """
    file = dataset_file(path)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        remedy = f"name the JSON lines, or a folder that holds {INSTANCES_FILE}"
        raise DatasetError(f"{file} cannot be read: {error.strerror}; {remedy}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{file} is not UTF-8; name the dataset's JSON lines") from None
    instances: dict[str, TrainingInstance] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            instance = _read_line(line, file.parent)
            if instance.instance_id in instances:
                raise DatasetError(f"instance_id {instance.instance_id!r} occurs twice; give each its own")
        except DatasetError as error:
            raise DatasetError(f"{file}:{number}: {error}") from None
        instances[instance.instance_id] = instance
    if not instances:
        raise DatasetError(f"{file} holds no instance; write one JSON object a line")
    return list(instances.values())


def measure_target(target: Path) -> MediaFacts:
    """Size, length and rate of a target; all of it is decoded to count its frames.

    Raises:
        DatasetError: not a clip, or not readable.
    """
    try:
        facts = probe(target)
    except ValueError as error:
        raise DatasetError(f"{target} cannot be learned: {error}") from None
    if facts.fps <= 0:
        raise DatasetError(f"{target} is a still; a target must be a clip")
    return facts


def common_rate(targets: Mapping[Path, MediaFacts], fps: int | None = None) -> int:
    """The frame rate at which all targets of a run are learned.

    Motion is learned by the frame, so clips of several rates would teach several speeds.

    Args:
        targets: what `measure_target` said of each, at least one.
        fps: the rate that was asked for; None takes the lowest of the targets, so that nothing is invented.

    Raises:
        DatasetError: a target has fewer frames per second than that.
    """
    slowest = min(targets, key=lambda target: targets[target].fps)
    own = targets[slowest].fps
    if fps is None:
        fps = max(1, round(own) if _reaches(own, round(own)) else int(own))
    if not _reaches(own, fps):
        remedy = f"leave it out, or set fps to {int(own)} or less" if own >= 1 else "leave it out"
        raise DatasetError(
            f"target {slowest} has {own:.3g} frames per second, fewer than the {fps} of the run; {remedy}"
        )
    return fps


def target_settings(target: Path, facts: MediaFacts | None = None, fps: int | None = None) -> SamplerSettings:
    """Size, length and rate at which a target is learned, its references shown and its samples made.

    A clip is learned up to the longest 4k + 1 frames that it has at that rate.

    Args:
        target: the clip.
        facts: what `measure_target` said of it; None measures it.
        fps: see `common_rate`; None takes the clip's own.

    Raises:
        DatasetError: not a clip, or not readable.
    """
    facts = facts or measure_target(target)
    fps = fps or common_rate({target: facts})
    count = paced_length(facts.num_frames, facts.fps, fps)
    return SamplerSettings(
        height=facts.height, width=facts.width, num_frames=(count - 1) // 4 * 4 + 1, fps=fps
    )


def _reaches(own: float, fps: int) -> bool:
    """Whether a clip has so many frames per second, but for what makes 29.97 of 30 and 12 of 12.5."""
    return own >= fps * (1 - RATE_TOLERANCE)


def _read_line(line: str, folder: Path) -> TrainingInstance:
    try:
        read = parse(_Line, line)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    name = read.instance_id
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise DatasetError(f"instance_id {name!r} is no file name; use letters and digits")
    instance = TrainingInstance(
        instance_id=name,
        prompt=read.prompt,
        references=tuple((_file(item.path, "reference", folder), item.kind) for item in read.references),
        target=_file(read.target.path, "target", folder),
        id_group=read.id_group,
    )
    if instance.target in [path for path, _ in instance.references]:
        raise DatasetError(f"target {instance.target.name} is also a reference; the answer must not be shown")
    return instance


def _file(name: str, role: str, folder: Path) -> Path:
    path = (folder / name).resolve()
    if not path.is_file():
        raise DatasetError(f"{role} {name!r} is no file; paths are relative to the dataset's file")
    return path
