"""Rows for tests, with defaults for everything that a test does not care about."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from annotate.judging.slots import open_slots
from annotate.models import (
    Curation,
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    ModelVersion,
    Reference,
    Round,
    Use,
    User,
    VideoPair,
    VideoSample,
)
from generator.curation.filters import Measures
from generator.files import file_sha256
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.records import ELEMENTS, SamplerSettings

_numbers = itertools.count(1)
SAMPLER = SamplerSettings()


def make_user(username: str = "", **overrides: Any) -> User:
    user = User(username=username or f"user-{next(_numbers)}", **overrides)
    user.set_password("a good password")
    user.save()
    return user


def write_test_clip() -> tuple[str, str]:
    """One of 64 small moving clips under the storage root, each drawn once; returns its path and sha256."""
    number = next(_numbers) % 64
    path: Path = settings.STORAGE_ROOT / "test" / f"clip-{number}.mp4"
    # An erasure that was tested may have taken one of both away.
    if not (path.exists() and path.with_suffix(".png").exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.full((SAMPLER.num_frames, 64, 64, 3), number * 3, np.uint8)
        for index, frame in enumerate(frames):
            frame[20:40, 4 * index : 4 * index + 12] = (250, 120, 20)
        write_photo(path.with_suffix(".png"), frames[0])
        write_clip(path, frames, SAMPLER.fps)
    return str(path.relative_to(settings.STORAGE_ROOT)), file_sha256(path)


def make_group(**overrides: Any) -> IdentityGroup:
    values = {
        "name": f"person-{next(_numbers)}",
        "source": "tests",
        "licence": "CC0-1.0",
        "truth": {"identity_seed": 1},
        "consent_uses": Use.values,
        "consent_stated_in": "tests",
        "consent_stated_at": timezone.now(),
    }
    return IdentityGroup.objects.create(**(values | overrides))


def make_reference(group: IdentityGroup, **overrides: Any) -> Reference:
    path, sha256 = write_test_clip()
    values = {
        "group": group,
        "kind": "clip",
        "source_name": Path(path).name,
        "source_sha256": f"{next(_numbers):064x}",
        "sha256": sha256,
        "path": path,
        "poster": str(Path(path).with_suffix(".png")),
        "width": 64,
        "height": 64,
        "num_frames": 9,
        "fps": 8,
        "size_bytes": 1000,
        "curation": Curation.DONE,
    }
    return Reference.objects.create(**(values | overrides))


def make_measures(**overrides: Any) -> dict[str, Any]:
    """What was measured on a clean clip of one person, as `Reference.quality` holds it."""
    clean = Measures(
        num_frames=9,
        num_shots=1,
        longest_shot=9,
        max_faces=1,
        face_share=1.0,
        face_px=120.0,
        blur=200.0,
        blur_percentile=None,
        yaw_max=10.0,
        pitch_max=5.0,
        roll_max=2.0,
    )
    return {"measures": asdict(clean) | overrides}


def make_prompt(**changes: str) -> DifferentialPrompt:
    """A prompt that changes the given elements; by default the background."""
    changes = changes or {"background": "a beach"}
    elements = [
        {
            "element": element,
            "primary": "as before",
            "target": changes.get(element, "as before"),
            "changed": element in changes,
            "similarity": None,
            "statement": f"The {element} changes to {changes[element]}." if element in changes else "",
        }
        for element in ELEMENTS
    ]
    text = " ".join(element["statement"] for element in elements if element["changed"])
    return DifferentialPrompt.objects.create(text=text, elements=elements, method="tests")


def make_instance(group: IdentityGroup | None = None, *, num_references: int = 3, **changes: str) -> Instance:
    group = group or make_group()
    instance = Instance.objects.create(
        group=group,
        prompt=make_prompt(**changes),
        digest=sha256(f"instance {next(_numbers)}".encode()).hexdigest(),
    )
    for position in range(num_references):
        InstanceReference.objects.create(
            instance=instance, reference=make_reference(group), position=position
        )
    return instance


def make_model(**overrides: Any) -> ModelVersion:
    values = {
        "name": f"model-{next(_numbers)}",
        "kind": "sft",
        "base_model": "somewhere",
        "weights_sha256": "0" * 64,
    }
    return ModelVersion.objects.create(**(values | overrides))


def make_round(**overrides: Any) -> Round:
    values: dict[str, Any] = {"name": f"round-{next(_numbers)}", "sampler": vars(SAMPLER), "votes_wanted": 1}
    if "policy" not in overrides:
        values["policy"] = make_model()
    return Round.objects.create(**(values | overrides))


def make_sample(instance: Instance, version: ModelVersion, *, is_made: bool = True) -> VideoSample:
    path, sha256 = write_test_clip() if is_made else ("", "")
    return VideoSample.objects.create(
        instance=instance,
        model_version=version,
        seed=next(_numbers),
        settings=vars(SAMPLER),
        settings_digest=SAMPLER.digest,
        path=path,
        shown_path=path,
        sha256=sha256,
    )


def make_pair(
    round: Round | None = None,
    instance: Instance | None = None,
    *,
    is_made: bool = True,
    gold_verdicts: dict[str, str] | None = None,
) -> VideoPair:
    """A pair of two videos; when they are made, its slots are open."""
    round = round or make_round()
    instance = instance or make_instance()
    first, second = (make_sample(instance, round.policy, is_made=is_made) for _ in range(2))
    pair = VideoPair.objects.create(
        round=round, instance=instance, first=first, second=second, gold_verdicts=gold_verdicts
    )
    if is_made:
        open_slots([pair])
    return pair


def prompt_form(instance: Instance, **changes: str) -> dict[str, str]:
    form = {"base": str(instance.prompt_id), "text": instance.prompt.text}
    for item in instance.prompt.elements:
        if item["changed"]:
            form |= {f"{item['element']}-{part}": item[part] for part in ("target", "statement")}
            form[f"{item['element']}-changed"] = "on"
    return form | changes
