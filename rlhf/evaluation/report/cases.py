"""What the report shows of single videos: the cases on which an arm gains or loses most."""

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
from rlhf.evaluation.report.frames import CaseLooks, case_looks
from rlhf.evaluation.report.tables import ArmRow, Result
from rlhf.evaluation.request import read_instances

#: Cases each way, pictures of a video, and pixels of their longer side.
CASES, PICTURES, SIDE = 3, 5, 176


@dataclass(frozen=True)
class Strip:
    """A few frames of a video or a reference.

    Attributes:
        pictures: JPEG as data addresses.
        frames: their numbers.
        why: there are none; "" where there are.
    """

    pictures: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class CaseVideo:
    """One arm's video in a case.

    Attributes:
        arm: whose.
        strip: of it.
        values: by column, in [0, 1].
        holes: by column, why there is no value.
    """

    arm: ArmRow
    strip: Strip
    values: Mapping[str, float]
    holes: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One instance and seed, as every arm made it.

    Attributes:
        instance_id: of the instance.
        identity: of the person.
        seed: of the videos.
        difference: mean over the columns that both arms have, the reference arm minus the other, in [0, 1].
        prompt: "" where it is not recorded.
        primary: the primary reference.
        videos: one an arm.
        looks: what each metric of identity saw.
        references: a picture of each reference that they compare with, by its path.
    """

    instance_id: str
    identity: str
    seed: int
    difference: float
    prompt: str
    primary: Strip
    videos: Sequence[CaseVideo]
    looks: Sequence[CaseLooks]
    references: Mapping[str, Strip]


def ranked(
    result: Result, columns: Sequence[Mapping[str, Any]], against: str, reference: str
) -> list[tuple[float, str, int]]:
    """Instances and seeds by how much better the reference arm is, best first.

    No column is preferred, and a hole counts for nothing rather than as a zero.

    Returns:
        (difference, instance_id, seed): the mean over the columns that both arms have a value of.
    """
    names = {column["name"] for column in columns}
    values = {
        (video["arm"], video["instance_id"], video["seed"]): {
            name: value for name, value in video["values"].items() if name in names
        }
        for video in result.get("videos") or []
    }
    found = []
    for (arm, instance_id, seed), mine in values.items():
        theirs = values.get((against, instance_id, seed), {})
        both = [name for name in mine if name in theirs]
        if arm == reference and both:
            found.append((sum(mine[name] - theirs[name] for name in both) / len(both), instance_id, seed))
    return sorted(found, key=lambda one: (-one[0], one[1:]))


def cases(
    run: RunDir,
    result: Result,
    columns: Sequence[Mapping[str, Any]],
    arms: Sequence[ArmRow],
    against: str,
    reference: str,
) -> tuple[list[Case], list[Case]]:
    """The instances on which the reference arm gains most, and those on which it loses most."""
    order = ranked(result, columns, against, reference)
    best = [one for one in order if one[0] > 0]
    worst = [one for one in reversed(order) if one[0] < 0]
    instances = _instances(run)

    def shown(found: Sequence[tuple[float, str, int]]) -> list[Case]:
        return [_case(run, result, arms, instances.get(one[1]), *one) for one in _first_of_each(found)]

    return shown(best), shown(worst)


def _first_of_each(found: Sequence[tuple[float, str, int]]) -> list[tuple[float, str, int]]:
    """One seed an instance, so that the cases differ."""
    firsts = {one[1]: one for one in reversed(found)}
    return [one for one in found if firsts[one[1]] is one][:CASES]


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
    arms: Sequence[ArmRow],
    instance: EvaluationInstance | None,
    difference: float,
    instance_id: str,
    seed: int,
) -> Case:
    mine = {
        video["arm"]: video
        for video in result["videos"]
        if (video["instance_id"], video["seed"]) == (instance_id, seed)
    }
    looks = case_looks(run, result, arms, mine)
    references = dict.fromkeys(path for look in looks for path in look.references)
    primary = instance.references[0][0] if instance and instance.references else None
    return Case(
        instance_id,
        next(iter(mine.values()))["identity"],
        seed,
        difference,
        instance.prompt if instance else "",
        strip(run.resolve(primary), 1) if primary else Strip(why="not recorded"),
        [_case_video(run, arm, mine.get(arm.name)) for arm in arms],
        looks,
        {path: strip(run.resolve(path), 1) for path in references},
    )


def _case_video(run: RunDir, arm: ArmRow, video: Mapping[str, Any] | None) -> CaseVideo:
    if video is None:
        return CaseVideo(arm, Strip(why="no video"), {}, {})
    if video["path"] is None:
        return CaseVideo(arm, Strip(why=next(iter(video["holes"].values()), "no video")), {}, video["holes"])
    return CaseVideo(arm, strip(run.resolve(video["path"]), PICTURES), video["values"], video["holes"])


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
