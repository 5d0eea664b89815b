"""Real files of people, groups and traps: what curation says of each against the truth, and how fast it is.

The files are no part of the repository; where they are absent, only a synthetic crowd is measured. The truth
is that of `SOURCES.md` beside them. Times are of one process; a busy machine slows them.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import report
from generator.curation.annotation import ClipAnnotation
from generator.curation.curate import annotate_media
from generator.curation.detection.bodies import EstimatedHumans
from generator.curation.detection.haar import HaarFaces
from generator.curation.detection.loading import load_detectors
from generator.curation.detection.protocols import Detectors
from generator.curation.duplicates import fingerprint
from generator.curation.filters import (
    MeasureColumns,
    Measures,
    Thresholds,
    judge,
    measure,
    rank_blur,
    what_if,
)
from generator.media.encoder import write_clip
from generator.media.normalise import normalise
from generator.media.video import probe
from generator.portraits.people import plan_person
from generator.portraits.world import draw_identity
from generator.records import ReferenceKind

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"
KEPT = "kept"
#: What must come out, where it is not `kept`. Any of several is right.
TRUTH: dict[str, tuple[str, ...]] = {
    "opens2v/faceobj_14.mp4": ("no_face",),
    "people/obama/obama_partial_face.jpg": ("no_face", "small_face"),
    "people/signer_b/bird.mp4": ("multi_face",),
    "traps/animal/s36.jpg": ("no_face",),
    "traps/classroom/classroom.from-gif.mp4": ("multi_face",),
    "traps/headpose_male/head-pose-face-detection-male.from-gif.mp4": (KEPT, "extreme_pose"),
    "traps/no_person/bottle-detection.mp4": ("no_face",),
    "traps/painting/s10.jpg": ("no_face",),
    "traps/two_people/obama_and_biden.jpg": ("multi_face",),
}
CROWD = 2000
_STAGES: dict[str, Callable[[Path, Detectors], object]] = {
    "probe": lambda path, _: probe(path),
    "normalise": lambda path, _: _normalised(path),
    "shots, faces, bodies": lambda path, detectors: annotate_media(path, detectors),
    "fingerprint": lambda path, _: fingerprint(path),
}


def main() -> None:
    if REALDATA.is_dir():
        measure_real()
    measure_crowd()


def measure_real() -> Path:
    """Tables of every file, of outcomes against the truth, of thresholds, and of stages."""
    detectors = load_detectors()
    files = sorted(path for path in REALDATA.rglob("*.*") if path.suffix != ".md")
    records = {path.relative_to(REALDATA).as_posix(): annotate_media(path, detectors) for path in files}
    measures = dict(zip(records, rank_blur([measure(record) for record in records.values()]), strict=True))
    rows = [_outcome(name, measures[name], records[name]) for name in records]
    path = report("curation", rows, thresholds=vars(Thresholds()))
    report("curation_confusion", confusion(rows))
    report(
        "curation_what_if",
        [vars(row) for row in what_if(MeasureColumns.of([*measures.values()]), Thresholds())],
    )
    report("curation_stages", [_stage(name, files, detectors) for name in _STAGES])
    return path


def confusion(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often each outcome met each truth."""
    counts = Counter((row["truth"], row["outcome"]) for row in rows)
    outcomes = sorted({outcome for _, outcome in counts}, key=lambda outcome: (outcome != KEPT, outcome))
    return [
        {"truth": truth, **{outcome: counts[truth, outcome] for outcome in outcomes}}
        for truth in sorted({truth for truth, _ in counts})
    ]


def _outcome(name: str, measures: Measures, record: ClipAnnotation) -> dict[str, Any]:
    reasons = judge(measures, Thresholds())
    truth, outcome = TRUTH.get(name, (KEPT,)), str(reasons[0]) if reasons else KEPT
    return {
        "file": name,
        "truth": " or ".join(truth),
        "outcome": outcome,
        "right": "yes" if outcome in truth else "NO",
        "all_reasons": [str(reason) for reason in reasons],
        "max_faces": measures.max_faces,
        "face_share": measures.face_share,
        "face_px": measures.face_px,
        "blur": measures.blur,
        "shots": len(record.shots),
    }


def _stage(name: str, files: list[Path], detectors: Detectors) -> dict[str, Any]:
    clips = [path for path in files if path.suffix == ".mp4"]
    start = time.perf_counter()
    for path in clips:
        _STAGES[name](path, detectors)
    taken = time.perf_counter() - start
    return {"stage": name, "clips": len(clips), "seconds": taken, "clips_per_minute": 60 * len(clips) / taken}


def _normalised(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        normalise(path, Path(folder) / "normal.mp4")


def measure_crowd(count: int = CROWD) -> Path:
    """Peak memory while many clips go through, from the first tenth to the end."""
    detectors = Detectors(HaarFaces(), EstimatedHumans())
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        for number in range(count):
            write_clip(path, _clip(number), 8)
            fingerprint(path)
            judge(measure(annotate_media(path, detectors)), Thresholds())
            if (number + 1) % (count // 10) == 0:
                rows.append({"clips": number + 1, "peak_mib": _peak_mib()})
    return report("curation_memory", rows)


def _clip(seed: int) -> np.ndarray:
    """The first clip of a synthetic person, (F, H, W, 3); another person for every seed."""
    return next(item for item in plan_person(seed) if item.kind is ReferenceKind.CLIP).render(
        draw_identity(seed)
    )


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
