"""A small dataset of drawn people, and runs of SFT on it."""

import json
import os

from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.portraits.people import Item, plan_person
from generator.portraits.world import draw_identity
from generator.records import ReferenceKind

CONFIG = {
    "steps": 4,
    "batch_size": 2,
    "rank": 2,
    "alpha": 6,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "save_every": 2,
    "stills": 2,
    "p_empty": 0.3,
    "ema_decay": 0.5,
    "sample_every": 3,
    "sample_count": 1,
    "sample_steps": 2,
}


def draw_person(folder, seed, size=32):
    """Two clips, a photo and a half-body portrait of one drawn person."""
    folder.mkdir()
    items: tuple[Item, ...] = plan_person(seed)
    clips, stills = [items[0], items[-6]], [items[-5], items[-1]]
    for number, item in enumerate(clips):
        write_clip(folder / f"clip-{number}.mp4", item.render(draw_identity(seed), size), 8)
    for number, item in enumerate(stills):
        write_photo(folder / f"still-{number}.png", item.render(draw_identity(seed), size)[0])
    assert [item.kind for item in stills] == [ReferenceKind.PHOTO, ReferenceKind.HALF_BODY]


def write_dataset(folder):
    """Three instances of two people: one, two and three references of every kind."""
    for seed in (1, 2):
        draw_person(folder / f"p{seed}", seed)
    photo, half, clip = (
        {"path": f"p{{}}/{name}", "kind": kind}
        for name, kind in (("still-0.png", "photo"), ("still-1.png", "half_body"), ("clip-1.mp4", "clip"))
    )
    lines = []
    for number, (person, shown) in enumerate([(1, [clip]), (1, [photo, clip]), (2, [half, clip, photo])]):
        references = [{**item, "path": item["path"].format(person)} for item in shown]
        line = {
            "instance_id": f"i{number}",
            "references": references,
            "prompt": "The background changes to a beach." if number else "",
            "target": {"path": f"p{person}/clip-0.mp4"},
        }
        lines.append(line)
    (folder / "instances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def create(run, model, dataset, adapters=(), **config):
    request = {
        "stage": "sft",
        "model": {"base": os.path.relpath(model, run.path), "adapters": [str(a) for a in adapters]},
        "dataset": os.path.relpath(dataset, run.path),
        "config": {**CONFIG, **config},
    }
    run.create(request)
    return run
