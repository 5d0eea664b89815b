"""A picture of what changed: the same noise before and after, of people whom a fixed rule takes.

The rule looks at no score: the first instance of each person in the order of the request, with the first
seed. Whoever is shown the sheet may be told nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from generator.files import replacing
from generator.media.video import read_clip
from generator.rundir import RunDir
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.report.tables import SHEET_FILE, Result
from rlhf.evaluation.request import EvaluationRequest

#: People, columns of them, frames of each video, and pixels of a frame's longer side.
PEOPLE, COLUMNS, FRAMES, SIDE = 12, 2, 3, 112
#: Pixels: around pictures, between the three parts of a row, and of the line of text above it.
_GAP, _PART, _CAPTION = 2, 12, 18
#: Of the JPEG.
QUALITY = 90
#: Letters of a prompt that have room.
_LETTERS = 110


def write_sheet(run: RunDir, request: EvaluationRequest, result: Result) -> Path | None:
    """Draw the two compared models; None where nothing is compared, or no video of both can be shown.

    Args:
        run: its videos are read.
        request: of the run.
        result: as `result.json` has it, or will have it.

    Returns:
        The file, a JPEG in the run folder.
    """
    if request.compare is None:
        return None
    paths = {
        (video["system"], video["instance_id"], video["seed"]): run.path / video["path"]
        for video in result["videos"]
        if video["path"] is not None
    }
    rows: list[Image.Image] = []
    for instance in _first_of_each_person(request.instances):
        both = [paths.get((system, instance.instance_id, request.seeds[0])) for system in request.compare]
        if len(rows) < PEOPLE and all(both):
            primary = run.resolve(instance.references[0][0])
            rows.append(_row(instance, [(primary, 1), *((path, FRAMES) for path in both if path)]))
    if not rows:
        return None
    target = run.path / SHEET_FILE
    with replacing(target) as temporary:
        _in_columns(rows).save(temporary, format="JPEG", quality=QUALITY, subsampling=0)
    return target


def _first_of_each_person(instances: Sequence[EvaluationInstance]) -> Sequence[EvaluationInstance]:
    firsts: dict[str, EvaluationInstance] = {}
    for instance in instances:
        firsts.setdefault(instance.identity or instance.instance_id, instance)
    return list(firsts.values())


def _row(instance: EvaluationInstance, parts: Sequence[tuple[Path, int]]) -> Image.Image:
    """The prompt above the primary reference, the video before, and the video after."""
    strips = [_strip(path, pictures) for path, pictures in parts]
    width = sum(strip.width for strip in strips) + _PART * len(strips)
    row = Image.new("RGB", (width, max(strip.height for strip in strips) + _CAPTION + _PART), "white")
    text = instance.prompt if len(instance.prompt) <= _LETTERS else f"{instance.prompt[: _LETTERS - 1]}…"
    ImageDraw.Draw(row).text((0, 2), text, fill="black", font=ImageFont.load_default(11))
    left = 0
    for strip in strips:
        row.paste(strip, (left, _CAPTION))
        left += strip.width + _PART
    return row


def _strip(path: Path, pictures: int) -> Image.Image:
    frames = read_clip(path).frames
    picks = [len(frames) // 2] if pictures == 1 else np.linspace(0, len(frames) - 1, pictures).round()
    shown = [Image.fromarray(frames[int(pick)]) for pick in picks]
    scale = SIDE / max(frames.shape[1:3])
    size = round(frames.shape[2] * scale), round(frames.shape[1] * scale)
    shown = [picture.resize(size, Image.Resampling.LANCZOS) for picture in shown]
    strip = Image.new("RGB", (sum(p.width + _GAP for p in shown), max(p.height for p in shown)), "white")
    left = 0
    for picture in shown:
        strip.paste(picture, (left, 0))
        left += picture.width + _GAP
    return strip


def _in_columns(rows: Sequence[Image.Image]) -> Image.Image:
    width, height = max(row.width for row in rows), max(row.height for row in rows)
    columns = min(COLUMNS, len(rows))
    sheet = Image.new("RGB", (columns * width, -(-len(rows) // columns) * height), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (number % columns * width, number // columns * height))
    return sheet
