"""A small evaluation whose figures are planted: who wins where, by how much, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from generator.media.encoder import write_clip
from rlhf.evaluation.columns import COLUMNS
from rlhf.evaluation.paired import compare
from rlhf.evaluation.records import MetricFacts
from rlhf.evaluation.table import ScoredVideo, differences, directions, paired, summary

PROMPT = 'The person wears a <b>"hat"</b> & smiles.'
SYSTEMS = {
    "baseline": {"label": "before <DPO>", "model": {"base": "/models/tiny", "adapters": []}},
    "candidate": {"label": "after", "model": {"base": "/models/tiny", "adapters": ["../../1/dpo-1/adapter"]}},
    "alone": {"label": "w/o AR", "model": {"base": "/models/tiny", "adapters": []}, "references": 1},
}
NAMES = ("holi_oracle", "app_oracle", "dyn", "identity", "controllability")
#: What the candidate has more than the baseline, by instance: 11 gains most, 14 loses most.
GAINS = {"11": 0.2, "12": 0.1, "13": 0.02, "14": -0.15}
WHY = "no frame shows a face; is the person in the picture?"


def facts_of(metric: str, *columns: str, model: str = "a model") -> MetricFacts:
    return MetricFacts(metric, columns, model, "ab" * 32, "Apache-2.0", "all", "left out", {"size": 64})


def planted_run(folder: Path) -> dict[str, Any]:
    """Fill a run folder and return its result; `alone` has no face on the first instance."""
    facts = [facts_of("oracle", *(name for name in NAMES if name != "dyn")), facts_of("quality", "dyn")]
    write_clip(folder / "primary.mp4", np.full((1, 32, 32, 3), 200, np.uint8), 8)
    videos = [
        _video(folder, system, number, instance, facts)
        for number, instance in enumerate(GAINS)
        for system in SYSTEMS
    ]
    instances = [
        {
            "instance_id": instance,
            "prompt": PROMPT,
            "references": [{"path": "primary.mp4", "kind": "photo"}],
            "id_group": [{"path": "primary.mp4"}],
        }
        for instance in GAINS
    ]
    request = {"stage": "evaluate", "instances": instances}
    (folder / "request.json").write_text(json.dumps(request))
    return _result(videos, facts)


def _video(folder: Path, system: str, number: int, instance: str, facts: list[MetricFacts]) -> dict[str, Any]:
    level = (
        0.5 + 0.03 * number + (GAINS[instance] if system == "candidate" else 0.01 if system == "alone" else 0)
    )
    holes = {"holi_oracle": WHY} if (system, instance) == ("alone", "11") else {}
    path, scores = Path(system, f"{instance}-7.mp4"), Path("scores", system, f"{instance}-7.json")
    for place in (path, scores):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
    write_clip(folder / path, np.full((5, 32, 32, 3), int(255 * level), np.uint8), 8)
    curve = {
        "frames": [0, 2, 4],
        "per_frame": [level, None, level],
        "ceiling": 0.6,
        "copy_paste": level > 0.6,
        "per_reference": {"primary.mp4": level},
    }
    said = {facts[0].sha256: {"details": curve}, facts[1].sha256: {"details": {}}}
    (folder / scores).write_text(json.dumps({"metrics": said}))
    return {
        "system": system,
        "instance_id": instance,
        "identity": f"person {number // 2}",
        "seed": 7,
        "path": str(path),
        "values": {name: round(level, 6) for name in NAMES if name not in holes},
        "holes": holes,
        "details": str(scores),
    }


def _result(videos: list[dict[str, Any]], facts: list[MetricFacts]) -> dict[str, Any]:
    columns = [column for column in COLUMNS if column.name in NAMES]
    scored = [
        ScoredVideo(v["system"], v["instance_id"], v["identity"], v["seed"], v["values"], v["holes"])
        for v in videos
    ]
    gained = differences(scored, columns, "candidate")
    return {
        "set": {
            "name": "planted",
            "sha256": "cd" * 32,
            "num_instances": 4,
            "num_identities": 2,
            "seeds": [7],
        },
        "systems": SYSTEMS,
        "compare": ["baseline", "candidate"],
        "reference": "candidate",
        "columns": [column.to_json() for column in columns],
        "metrics": [one.to_json() for one in facts],
        "table": summary(scored, columns),
        "differences": gained,
        "directions": directions(gained, {"alone": "w/o AR"}, columns),
        **{
            track: compare(*paired(scored, track, "baseline", "candidate")).to_json()
            for track in ("identity", "controllability")
        },
        "videos": videos,
        "failed": [],
        "seconds": 75.0,
    }
