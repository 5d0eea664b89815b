"""Videos of other models for a benchmark set.

    python -m rlhf.evaluation.runners consisid SET OUT --weights FOLDER

OUT becomes an entry (see `benchmark_entry`). As in the paper, these models are shown the primary reference
alone, of a clip its first frame, and the whole scene in words. Running it again makes only what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generator.media.encoder import write_clip
from generator.media.video import read_clip
from generator.records import SamplerSettings
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.benchmark.commands import run_and_print
from rlhf.evaluation.benchmark.entry import ENTRY_FILE, EntryFacts, Key, read_entry, video_name
from rlhf.evaluation.benchmark.set import Benchmark, read_benchmark


class VideoModel(Protocol):
    """Makes a video of one picture and a prompt."""

    @property
    def settings(self) -> SamplerSettings:
        """Of every video."""

    def make(self, picture: NDArray[np.uint8], prompt: str, seed: int) -> NDArray[np.uint8]:
        """RGB (F, H, W, 3) of RGB (H, W, 3).

        Raises:
            ValueError: nothing can be made of this picture.
        """


@dataclass(frozen=True)
class Runner:
    """A model that diffusers has."""

    model: str  # its name in tables
    licence: str  # of its weights
    source: str  # of its weights
    settings: SamplerSettings  # of the videos that it was released with
    #: From a local folder, with settings and whether non-commercial parts are allowed.
    load: Callable[[Path, SamplerSettings, bool], VideoModel]

    def facts(self, settings: SamplerSettings, benchmark: Benchmark) -> EntryFacts:
        """What its entry says of itself."""
        return EntryFacts(
            model=self.model,
            licence=self.licence,
            source=self.source,
            references_used="primary",
            settings=asdict(settings),
            of_set=benchmark.identity,
        )


def make_entry(
    folder: Path,
    facts: EntryFacts,
    benchmark: Benchmark,
    load: Callable[[], VideoModel],
    note: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Make every video of a set that the folder lacks; the model is loaded only if one is missing.

    Returns:
        `made`, `kept`, and why videos `failed`.

    Raises:
        BenchmarkError: the folder holds videos of another model, set or settings.
    """
    kept = _kept(folder, facts, benchmark)
    everything = [(instance, seed) for instance in benchmark.instances for seed in benchmark.seeds]
    wanted = [(instance, seed) for instance, seed in everything if (instance.instance_id, seed) not in kept]
    made, failed = 0, {}
    if wanted:
        model = load()
        folder.mkdir(parents=True, exist_ok=True)
        facts.write(folder)
    for instance, seed in wanted:
        name = video_name((instance.instance_id, seed))
        try:
            picture = read_clip(benchmark.resolve(instance.references[0][0]), max_frames=1).frames[0]
            frames = model.make(picture, instance.standard_prompt or instance.prompt, seed)
        except (ValueError, OSError) as error:
            failed[name] = " ".join(str(error).split())
            continue
        write_clip(folder / name, frames, model.settings.fps)
        made += 1
        note(f"{name}: {made + len(kept)} of {len(everything)}")
    return {"made": made, "kept": len(kept), "failed": failed}


def _kept(folder: Path, facts: EntryFacts, benchmark: Benchmark) -> set[Key]:
    """Videos that are there and as they should be."""
    if not (folder / ENTRY_FILE).exists():
        return set()
    entry = read_entry(folder, benchmark)
    if entry.facts != facts:
        raise BenchmarkError(f"{folder} holds videos of another model or other settings; use a new folder")
    return set(entry.videos)


def _load_consisid(weights: Path, settings: SamplerSettings, allow_non_commercial: bool) -> VideoModel:
    from generator.model.external.consisid import load_consisid

    return load_consisid(weights, settings, allow_non_commercial=allow_non_commercial)


def _load_vace(weights: Path, settings: SamplerSettings, allow_non_commercial: bool) -> VideoModel:
    from generator.model.external.vace import load_vace

    return load_vace(weights, settings)


RUNNERS: Mapping[str, Runner] = {
    "consisid": Runner(
        "ConsisID",
        "Apache-2.0, with face models for non-commercial research only",
        "https://huggingface.co/BestWishYsh/ConsisID-preview",
        SamplerSettings(
            height=480, width=720, num_frames=49, fps=8, num_inference_steps=50, guidance_scale=6.0
        ),
        _load_consisid,
    ),
    "vace": Runner(
        "Wan VACE",
        "Apache-2.0",
        "https://huggingface.co/Wan-AI/Wan2.1-VACE-1.3B-diffusers",
        SamplerSettings(
            height=480, width=832, num_frames=81, fps=16, num_inference_steps=50, guidance_scale=5.0
        ),
        _load_vace,
    ),
}


def main(arguments: list[str]) -> int:
    """Read the command line, and print what was made as JSON.

    Returns:
        Exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rlhf.evaluation.runners",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=sorted(RUNNERS))
    parser.add_argument("set", type=Path)
    parser.add_argument("folder", type=Path, help="of the entry")
    parser.add_argument("--weights", type=Path, required=True, help="local folder in the Diffusers layout")
    parser.add_argument(
        "--settings", default="{}", help='JSON of what differs from the release: {"num_inference_steps": 20}'
    )
    parser.add_argument("--allow-non-commercial", action="store_true")
    options = parser.parse_args(arguments)
    return run_and_print(lambda: _make(options))


def _make(options: argparse.Namespace) -> dict[str, Any]:
    runner, benchmark = RUNNERS[options.model], read_benchmark(options.set)
    settings = replace(runner.settings, **_read_changes(options.settings))
    return make_entry(
        options.folder,
        runner.facts(settings, benchmark),
        benchmark,
        lambda: runner.load(options.weights, settings, options.allow_non_commercial),
        note=lambda line: print(line, file=sys.stderr),
    )


def _read_changes(text: str) -> dict[str, Any]:
    known = list(asdict(SamplerSettings()))
    try:
        changes = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--settings is no JSON: {error}") from None
    if not isinstance(changes, dict) or not changes.keys() <= set(known):
        raise ValueError(f"--settings is {text}; it must be an object of {', '.join(known)}")
    return changes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
