"""`python -m generator.portraits DIR --identities 24 --split train`: write folders of drawn people."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from generator.curation.card import USES
from generator.files import replacing
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.portraits.people import Item, plan_person
from generator.portraits.world import SPLIT_SEEDS, Split, draw_identity
from generator.records import ReferenceKind

#: Frames per second of the clips.
FPS = 8
#: People of one seed; the next seed's start after them.
MAX_PEOPLE = 1_000


def write_people(folder: Path, identities: int, split: Split, seed: int = 0) -> list[Path]:
    """Draw people into sub-folders; one that is complete stays as it is.

    Args:
        folder: where the people's folders go; made when missing.
        identities: how many.
        split: train, eval or benchmark; their people are disjoint, also from those of the checkpoint.
        seed: another one gives other people.

    Returns:
        The people's folders.

    Raises:
        ValueError: a number out of range.
    """
    if not 1 <= identities <= MAX_PEOPLE:
        raise ValueError(f"identities is {identities}; it must be 1 to {MAX_PEOPLE}")
    if not 0 <= seed < 10_000:
        raise ValueError(f"seed is {seed}; it must be 0 to 9999")
    first = SPLIT_SEEDS[split] + seed * MAX_PEOPLE
    return [
        write_person(folder / f"person-{first + index}", first + index, split) for index in range(identities)
    ]


def write_person(folder: Path, seed: int, split: Split) -> Path:
    """Draw one person into a folder: clips, photos, half-body portraits, and at last `identity.json`."""
    if (folder / "identity.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    identity, counts, files = draw_identity(seed), dict.fromkeys(ReferenceKind, 0), {}
    for item in plan_person(seed):
        name = _write_item(folder, item, counts[item.kind], item.render(identity))
        counts[item.kind] += 1
        files[name] = {"kind": str(item.kind), "elements": dict(item.elements)}
    facts: dict[str, Any] = {
        "source": "portraits",
        "licence": "CC0-1.0",
        "consent": list(USES),
        "split": split,
        "truth": {"identity_seed": seed},
        "files": files,
    }
    with replacing(folder / "identity.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return folder


def _write_item(folder: Path, item: Item, number: int, frames: Any) -> str:
    if item.kind is ReferenceKind.CLIP:
        name = f"clip_{number}.mp4"
        write_clip(folder / name, frames, FPS)
    else:
        name = f"{item.kind}_{number}.png"
        write_photo(folder / name, frames[0])
    return name


def main(arguments: list[str]) -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m generator.portraits", description="Draw people.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--split", choices=sorted(SPLIT_SEEDS), default="train")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other people")
    options = parser.parse_args(arguments)
    try:
        folders = write_people(options.folder, options.identities, options.split, options.seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(folders)} people in {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
