"""What the report shows of single videos: the cases on which a system gains or loses most."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generator.media.video import fit, read_clip
from generator.rundir import RunDir
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.report.frames import CaseSimilarity, case_similarities
from rlhf.evaluation.report.tables import Result, SystemRow
from rlhf.evaluation.request import read_instances

#: Cases each way, pictures of a video, and pixels of their longer side.
CASES, PICTURES, SIDE = 3, 5, 176


@dataclass(frozen=True)
class Strip:
    """A few frames of a video or a reference."""

    pictures: tuple[str, ...] = ()  # JPEG as data addresses
    frames: tuple[int, ...] = ()  # their numbers
    why: str = ""  # there are none; "" where there are


@dataclass(frozen=True)
class CaseVideo:
    """One system's video in a case."""

    system: SystemRow  # whose
    strip: Strip  # of it
    values: Mapping[str, float]  # by column, in [0, 1]
    holes: Mapping[str, str]  # by column, why there is no value


@dataclass(frozen=True)
class Case:
    """One instance and seed, as every system made it."""

    instance_id: str  # of the instance
    identity: str  # of the person
    seed: int  # of the videos
    #: Mean over the columns that both have, the reference system minus the other, in [-1, 1].
    difference: float
    prompt: str  # "" where it is not recorded
    primary: Strip  # the primary reference
    videos: Sequence[CaseVideo]  # one per system
    similarities: Sequence[CaseSimilarity]  # what each metric of identity saw
    references: Mapping[str, Strip]  # a picture of each reference that they compare with, by its path


def ranked(
    result: Result, columns: Sequence[Mapping[str, Any]], against: str, reference: str
) -> list[tuple[float, str, int]]:
    """Instances and seeds by how much better the reference system is, best first.

    No column is preferred, and a hole counts for nothing rather than as a zero.

    Returns:
        (difference, instance_id, seed): the mean over the columns that both systems have a value of.
    """
    names = {column["name"] for column in columns if not column.get("lower_is_better")}
    values = {
        (video["system"], video["instance_id"], video["seed"]): {
            name: value for name, value in video["values"].items() if name in names
        }
        for video in result.get("videos") or []
    }
    gains = []
    for (system, instance_id, seed), mine in values.items():
        theirs = values.get((against, instance_id, seed), {})
        both = [name for name in mine if name in theirs]
        if system == reference and both:
            gains.append((sum(mine[name] - theirs[name] for name in both) / len(both), instance_id, seed))
    return sorted(gains, key=lambda gain: (-gain[0], gain[1:]))


def cases(
    run: RunDir,
    result: Result,
    columns: Sequence[Mapping[str, Any]],
    systems: Sequence[SystemRow],
    against: str,
    reference: str,
) -> tuple[list[Case], list[Case]]:
    """The instances on which the reference system gains most, and those on which it loses most."""
    order = ranked(result, columns, against, reference)
    best = [entry for entry in order if entry[0] > 0]
    worst = [entry for entry in reversed(order) if entry[0] < 0]
    instances = _instances(run)

    def shown(entries: Sequence[tuple[float, str, int]]) -> list[Case]:
        chosen = _first_of_each(entries)
        return [_case(run, result, systems, instances.get(entry[1]), *entry) for entry in chosen]

    return shown(best), shown(worst)


def _first_of_each(entries: Sequence[tuple[float, str, int]]) -> list[tuple[float, str, int]]:
    """One seed per instance, so that the cases differ."""
    firsts = {entry[1]: entry for entry in reversed(entries)}
    return [entry for entry in entries if firsts[entry[1]] is entry][:CASES]


def _instances(run: RunDir) -> dict[str, EvaluationInstance]:
    if not (run.path / "request.json").is_file():
        return {}
    request = run.read_request()
    if not {"instances", "set"} & request.keys():  # from before sets had names
        return {}
    return {item.instance_id: item for item in read_instances(run, request)}


def _case(
    run: RunDir,
    result: Result,
    systems: Sequence[SystemRow],
    instance: EvaluationInstance | None,
    difference: float,
    instance_id: str,
    seed: int,
) -> Case:
    mine = {
        video["system"]: video
        for video in result["videos"]
        if (video["instance_id"], video["seed"]) == (instance_id, seed)
    }
    similarities = case_similarities(run, result, systems, mine)
    references = dict.fromkeys(path for similarity in similarities for path in similarity.references)
    primary = instance.references[0][0] if instance and instance.references else None
    return Case(
        instance_id,
        next(iter(mine.values()))["identity"],
        seed,
        difference,
        instance.prompt if instance else "",
        strip(run.resolve(primary), 1) if primary else Strip(why="not recorded"),
        [_case_video(run, system, mine.get(system.name)) for system in systems],
        similarities,
        {path: strip(run.resolve(path), 1) for path in references},
    )


def _case_video(run: RunDir, system: SystemRow, video: Mapping[str, Any] | None) -> CaseVideo:
    if video is None:
        return CaseVideo(system, Strip(why="no video"), {}, {})
    if video["path"] is None:
        return CaseVideo(
            system, Strip(why=next(iter(video["holes"].values()), "no video")), {}, video["holes"]
        )
    return CaseVideo(system, strip(run.resolve(video["path"]), PICTURES), video["values"], video["holes"])


def strip(path: Path, pictures: int) -> Strip:
    """A few frames, evenly spread, the first and the last among them."""
    try:
        frames = read_clip(path).frames
    except FileNotFoundError:
        return Strip(why=f"{path.name} is not there any more")
    except (ValueError, OSError) as error:
        return Strip(why=f"{path.name} cannot be read: {' '.join(str(error).split())}")
    picks = np.linspace(0, len(frames) - 1, min(len(frames), pictures)).round().astype(int).tolist()
    return Strip(tuple(_jpeg(frames[pick]) for pick in picks), tuple(picks))


def _jpeg(frame: np.ndarray) -> str:
    picture = Image.fromarray(frame)
    picture = picture.resize(fit(picture.size, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
