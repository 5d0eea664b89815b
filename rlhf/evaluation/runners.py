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

from generator.records import SamplerSettings
from generator.video import read_clip, write_clip
from rlhf.evaluation.benchmark import Benchmark, read_benchmark
from rlhf.evaluation.benchmark_card import BenchmarkError
from rlhf.evaluation.benchmark_entry import ENTRY_FILE, EntryFacts, find_videos, read_entry, video_name
from rlhf.evaluation.records import EvaluationInstance


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
    """A model that diffusers has.

    Attributes:
        model: its name in tables.
        licence: of its weights.
        source: of its weights.
        load: from a local folder, with settings to change and whether non-commercial parts are allowed.
    """

    model: str
    licence: str
    source: str
    load: Callable[[Path, Mapping[str, Any], bool], VideoModel]


def run_model(
    runner: Runner,
    model: VideoModel,
    benchmark: Benchmark,
    folder: Path,
    note: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Make every video of a set that the folder does not hold yet.

    Args:
        runner: what the model is.
        model: loaded.
        benchmark: the set.
        folder: of the entry; made when missing.
        note: told of every video that is made.

    Returns:
        `made`, `kept`, and why videos `failed`.

    Raises:
        BenchmarkError: the folder holds videos of another model, set or settings.
    """
    _open_entry(runner, model.settings, benchmark, folder)
    names = [instance.instance_id for instance in benchmark.instances]
    kept, _ = find_videos(folder, names, benchmark.seeds, model.settings.num_frames)
    made, failed = 0, {}
    for instance in benchmark.instances:
        for seed in benchmark.seeds:
            name = video_name((instance.instance_id, seed))
            if (instance.instance_id, seed) in kept:
                continue
            try:
                picture = read_clip(benchmark.resolve(instance.references[0][0]), max_frames=1).frames[0]
                frames = model.make(picture, _scene(instance), seed)
            except (ValueError, OSError) as error:
                failed[name] = " ".join(str(error).split())
                continue
            write_clip(folder / name, frames, model.settings.fps)
            made += 1
            note(f"{name}: {made + len(kept)} of {len(names) * len(benchmark.seeds)}")
    return {"made": made, "kept": len(kept), "failed": failed}


def _scene(instance: EvaluationInstance) -> str:
    return instance.standard_prompt or instance.prompt


def _open_entry(runner: Runner, settings: SamplerSettings, benchmark: Benchmark, folder: Path) -> None:
    facts = EntryFacts(
        model=runner.model,
        licence=runner.licence,
        source=runner.source,
        references_used="primary",
        settings=asdict(settings),
        of_set=benchmark.identity,
    )
    if (folder / ENTRY_FILE).exists():
        if read_entry(folder, benchmark).facts != facts:
            raise BenchmarkError(
                f"{folder} holds videos of another model or other settings; use a new folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    facts.write(folder)


def _load_consisid(weights: Path, changes: Mapping[str, Any], allow_non_commercial: bool) -> VideoModel:
    from generator.model.consisid import RELEASED, load_consisid

    settings = replace(RELEASED, **changes)
    return load_consisid(weights, settings, allow_non_commercial=allow_non_commercial)


def _load_vace(weights: Path, changes: Mapping[str, Any], allow_non_commercial: bool) -> VideoModel:
    from generator.model.vace import RELEASED, load_vace

    return load_vace(weights, replace(RELEASED, **changes))


RUNNERS: Mapping[str, Runner] = {
    "consisid": Runner(
        "ConsisID",
        "Apache-2.0, with face models for non-commercial research only",
        "https://huggingface.co/BestWishYsh/ConsisID-preview",
        _load_consisid,
    ),
    "vace": Runner(
        "Wan VACE", "Apache-2.0", "https://huggingface.co/Wan-AI/Wan2.1-VACE-1.3B-diffusers", _load_vace
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
    try:
        runner, benchmark = RUNNERS[options.model], read_benchmark(options.set)
        changes = _read_changes(options.settings)
        model = runner.load(options.weights, changes, options.allow_non_commercial)
        said = run_model(
            runner, model, benchmark, options.folder, note=lambda line: print(line, file=sys.stderr)
        )
    except (ValueError, OSError, ImportError) as error:  # a checkpoint may need a package of its own
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps(said, indent=1, ensure_ascii=False))
    return 0


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
