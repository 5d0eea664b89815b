"""Data as they are found, on the drawn world: what the shipped supervised model learned from.

The shipped base has learned from true clips and leaves hardly anything to prefer. Found data are not true:
`generator.portraits.planted_faults` says what is wrong with them, and how often.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.dpo_world import Question
from generator.media.encoder import write_clip
from generator.portraits.__main__ import FPS
from generator.portraits.planted_faults import PlantedFault, draw_faults, render_target
from generator.portraits.world import draw_identity
from rlhf.training.instances import INSTANCES_FILE


def faults_of(number: int) -> frozenset[PlantedFault]:
    """What is wrong with the target of a question."""
    return draw_faults(np.random.default_rng([17, number]))


def count_faults(questions: int) -> dict[str, float]:
    """Share of targets with each fault."""
    counts = Counter(fault for number in range(questions) for fault in faults_of(number))
    return {str(fault): counts[fault] / questions for fault in PlantedFault}


def write_found_data(folder: Path, questions: Sequence[Question]) -> Path:
    """Write a dataset of `rlhf.sft`, one instance a question; a target that is there stays as it is.

    Args:
        folder: made when missing.
        questions: references and prompts; the truth is known, since people are drawn.

    Returns:
        The folder.
    """
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    lines = [_instance(folder, number, question) for number, question in enumerate(questions)]
    (folder / INSTANCES_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def _instance(folder: Path, number: int, question: Question) -> dict[str, object]:
    target = folder / "targets" / f"{number}.mp4"
    if not target.exists():
        truth = json.loads((question.person / "identity.json").read_text(encoding="utf-8"))["truth"]
        elements = question.plan.prompt.elements
        clip = render_target(
            draw_identity(truth["identity_seed"]),
            {change.element: change.primary for change in elements},
            {change.element: change.target for change in elements},
            faults_of(number),
            seed=1_000_000 + number,
        )
        write_clip(target, clip, FPS)
    return {
        "instance_id": str(number),
        "prompt": question.plan.prompt.text,
        "id_group": question.person.name,
        "references": question.references,
        "target": {"path": str(target.resolve())},
    }
