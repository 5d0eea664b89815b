"""Data as they are found, on the drawn world: a supervised model with faults that people can see.

The shipped model has learned from true clips and leaves hardly anything to prefer. Found data are not
true, and two of their faults are planted here, each in half of the targets and independently: the clip
went through a beauty filter, so that it shows another face; and the prompt claims changes that the clip
does not show. A model that learns from them does both now and then, and nothing but preference tells it
which half was meant.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.dpo_world import Question
from generator.media.encoder import write_clip
from generator.portraits.__main__ import FPS
from generator.portraits.render import render_clip
from generator.portraits.world import Identity, draw_identity
from rlhf.training.instances import INSTANCES_FILE

#: Share of targets with each fault.
FAULTY = 0.5
#: What the filter makes of each hair colour: black is brown, brown and red are fair, all others are grey.
BLEACHED: Mapping[int, int] = {0: 1, 1: 2, 2: 4, 3: 2, 4: 4, 5: 4, 6: 4}
BLUE_EYES = 1


def beautify(person: Identity) -> Identity:
    """What the filter makes of a person: bleached, without marks, with large blue eyes and a narrow face."""
    return replace(
        person,
        hair=BLEACHED[person.hair],
        skin=max(0, person.skin - 2),
        eyes=BLUE_EYES,
        left_cheek=0,
        right_cheek=0,
        eye_size=min(1.0, person.eye_size + 0.5),
        jaw=max(0.0, person.jaw - 0.5),
        nose_width=max(0.0, person.nose_width - 0.5),
        lip_colour=min(1.0, person.lip_colour + 0.5),
    )


def write_found_data(folder: Path, questions: Sequence[Question], faulty: float = FAULTY) -> Path:
    """Write a dataset of `rlhf.sft`, one instance a question; a target that is there stays as it is.

    Args:
        folder: made when missing.
        questions: references and prompts; the truth is known, since people are drawn.
        faulty: share of targets with each fault, in [0, 1].

    Returns:
        The folder.
    """
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    lines = [_instance(folder, number, question, faulty) for number, question in enumerate(questions)]
    (folder / INSTANCES_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def _instance(folder: Path, number: int, question: Question, faulty: float) -> dict[str, object]:
    rng = random.Random(f"found/{number}")
    is_filtered, is_ignored = rng.random() < faulty, rng.random() < faulty
    target = folder / "targets" / f"{number}.mp4"
    truth = json.loads((question.person / "identity.json").read_text(encoding="utf-8"))["truth"]
    person = draw_identity(truth["identity_seed"])
    shown = {
        change.element: change.primary if is_ignored else change.target
        for change in question.plan.prompt.elements
    }
    seed = rng.randrange(2**31)
    if not target.exists():
        clip = render_clip(beautify(person) if is_filtered else person, shown, seed=seed)
        write_clip(target, clip, FPS)
    return {
        "instance_id": str(number),
        "prompt": question.plan.prompt.text,
        "id_group": question.person.name,
        "references": question.references,
        "target": {"path": str(target.resolve())},
    }
