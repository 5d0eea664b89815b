"""What the report shows of single videos: the best and worst cases, and identity frame by frame."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from generator.rundir import RunDir
from generator.video import fit, read_clip
from rlhf.evaluation import plots
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.report_tables import ArmRow, Result
from rlhf.evaluation.request import read_instances

#: Cases each way, pictures of a video, and pixels of their longer side.
CASES, PICTURES, SIDE = 3, 5, 176
#: Stretches of a clip over which frame curves of all videos are averaged.
STRETCHES = 10


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
        curves: plots of identity over the frames, by metric.
    """

    instance_id: str
    identity: str
    seed: int
    difference: float
    prompt: str
    primary: Strip
    videos: Sequence[CaseVideo]
    curves: Sequence[tuple[str, Markup]]


@dataclass(frozen=True)
class Faces:
    """What one arm's frames show of identity, by one metric.

    Attributes:
        arm: whose.
        looks: frames that were looked at.
        with_face: those of them with a similarity.
        videos: that were looked at.
        above: videos more like the references than real references are like each other.
        ceiling: mean similarity of real references to each other, in [0, 1]; None with one reference.
        line: (percent of the clip, mean similarity times 100).
    """

    arm: ArmRow
    looks: int
    with_face: int
    videos: int
    above: int
    ceiling: float | None
    line: Sequence[plots.Point]


@dataclass(frozen=True)
class FrameFigure:
    """Identity over the frames by one metric."""

    metric: str
    plot: Markup
    arms: Sequence[Faces]


def ranked(
    result: Result, columns: Sequence[Mapping[str, Any]], against: str, reference: str
) -> list[tuple[float, str, int]]:
    """Instances and seeds by how much better the reference arm is, best first.

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
    primary = instance.references[0][0] if instance and instance.references else None
    return Case(
        instance_id,
        next(iter(mine.values()))["identity"],
        seed,
        difference,
        instance.prompt if instance else "",
        strip(run.resolve(primary), 1) if primary else Strip(why="not recorded"),
        [_case_video(run, arm, mine.get(arm.name)) for arm in arms],
        _case_curves(run, result, arms, mine),
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


def _looks(run: RunDir, video: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Details of each metric that followed identity over the frames, by the sha256 of its facts."""
    path = run.resolve(video["details"]) if video.get("details") else None
    if path is None or not path.is_file():
        return {}
    metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    return {sha: said["details"] for sha, said in metrics.items() if said["details"].get("per_frame")}


def _metric_names(result: Result) -> dict[str, str]:
    """What people call a metric of identity: its first column."""
    labels = {column["name"]: column["label"] for column in result.get("columns") or []}
    metrics = result.get("metrics") or []
    return {facts["sha256"]: labels.get(facts["columns"][0], facts["metric"]) for facts in metrics}


def _case_curves(
    run: RunDir, result: Result, arms: Sequence[ArmRow], videos: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Markup]]:
    looks = {arm: _looks(run, video) for arm, video in videos.items()}
    found = []
    for sha, name in _metric_names(result).items():
        mine = {arm: said[sha] for arm, said in looks.items() if sha in said}
        if not mine:
            continue
        ceiling = next(iter(mine.values())).get("ceiling")
        lines = [(arm.colour, _line(mine[arm.name])) for arm in arms if arm.name in mine]
        title = f"Similarity to the references, frame by frame, by {name}"
        found.append((name, plots.curves(title, lines, level=_points(ceiling))))
    return found


def _line(details: Mapping[str, Any]) -> list[plots.Point]:
    values = map(_points, details["per_frame"])
    return list(zip(details["frames"], values, strict=True))


def frame_figures(run: RunDir, result: Result, arms: Sequence[ArmRow]) -> list[FrameFigure]:
    """Identity over the frames of all videos, one figure a metric that follows it."""
    looks: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for video in result.get("videos") or []:
        for sha, details in _looks(run, video).items():
            looks.setdefault(sha, {}).setdefault(video["arm"], []).append(details)
    found = []
    for sha, name in _metric_names(result).items():
        if sha in looks:
            mine = [_faces(arm, looks[sha].get(arm.name, [])) for arm in arms]
            lines = [(one.arm.colour, one.line) for one in mine]
            title = f"Mean similarity to the references over the clip, by {name}"
            found.append(FrameFigure(name, plots.curves(title, lines, end=100), mine))
    return found


def _faces(arm: ArmRow, details: Sequence[Mapping[str, Any]]) -> Faces:
    stretches: dict[int, list[float | None]] = {}
    for one in details:
        last = max(one["frames"]) or 1
        for frame, value in zip(one["frames"], one["per_frame"], strict=True):
            stretches.setdefault(min(frame * STRETCHES // last, STRETCHES - 1), []).append(value)
    seen = [value for values in stretches.values() for value in values]
    ceilings = [one["ceiling"] for one in details if one.get("ceiling") is not None]
    return Faces(
        arm,
        len(seen),
        sum(value is not None for value in seen),
        len(details),
        sum(bool(one.get("copy_paste")) for one in details),
        sum(ceilings) / len(ceilings) if ceilings else None,
        [((number + 0.5) * 100 / STRETCHES, _mean(values)) for number, values in sorted(stretches.items())],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return 100 * sum(there) / len(there) if there else None


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value
