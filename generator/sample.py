"""Make videos: `python -m generator.sample RUNDIR [--attached] [--threads N]`.

    request.json    {"stage": "sample", "model": {"base", "adapters"}, "settings": {...}, "samples": [...]}
    samples/        <sample_id>.mp4, each complete or absent
    shown/          <sample_id>.mp4, the copy of each that people are shown
    metrics.jsonl   one line a finished sample
    result.json     {"samples": [...], "failed": [...]}; what failed names the step at which it began

A killed run is resumed by the same command: finished videos stay, the others are made. Neighbours in the
request with equal references and prompt (a pair) are one batch, but each has its own noise, so that a video
depends on its own seed alone.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from generator.adapter_files import adapters_in
from generator.faults import BrokenVideoError, Fault, NotFiniteError
from generator.files import file_sha256
from generator.media.display_copies import write_display_copy
from generator.media.encoder import write_clip
from generator.media.formats import MediaKind, detect_format
from generator.media.video import probe, read_clip, read_paced
from generator.model.precision import Precision, choose_precision
from generator.records import ReferenceKind, SampleRequest, SamplerSettings
from generator.rundir import RunDir, RunError, run_command
from generator.validation import read

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

Array = np.ndarray
#: Called with a finished sample's facts and the seconds that it took; 0 for one that was there already.
OnSample = Callable[[dict[str, Any], float], None]


def main(run: RunDir, attached: bool) -> None:
    """Make what the run folder asks for.

    Raises:
        RunError: the request cannot be fulfilled at all; single failures are listed in the result.
    """
    with run.open(attached=attached) as request:
        if not run.is_done:
            make(run, request, lambda: load_model(run, request["model"]))


def make(run: RunDir, request: Mapping[str, Any], load: Callable[[], AnyIDPipeline]) -> None:
    """Make what a request asks for, with the model that `load` gives; called only when a video is missing.

    Raises:
        RunError: see `main`.
    """
    try:
        settings = read(SamplerSettings, request["settings"])
        samples = [SampleRequest.from_json(item) for item in request["samples"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.path / 'request.json'} is no request to sample: {error}") from None
    encodings = {sample.sample_id: sample.encoding for sample in samples}
    run.truncate_metrics(lambda line: False)
    done = itertools.count(1)

    def note(facts: dict[str, Any], seconds: float) -> None:
        shown = run.path / "shown" / f"{facts['sample_id']}.mp4"
        if not shown.exists():
            encoding = encodings[facts["sample_id"]]
            write_display_copy(Path(facts["path"]), shown, name=facts["sha256"], encoding=encoding)
        line = {"sample_id": facts["sample_id"], "seconds": round(seconds, 3)}
        run.append_metrics({**line, "done": next(done), "total": len(samples)})

    made, failed = make_videos(
        load, samples, settings, run.path / "samples", resolve=run.resolve, on_sample=note
    )
    relative = [{**facts, "path": run.relative(facts["path"])} for facts in made]
    precision = precision_of(request["model"]).to_json()
    run.write_result({"samples": relative, "failed": failed, "precision": precision})


def precision_of(model: Mapping[str, Any]) -> Precision:
    """What a model that a request names makes videos in: `bf16` of the request, or left to the device."""
    return choose_precision(model.get("bf16"), exact=True)


def load_model(
    run: RunDir, model: Mapping[str, Any], *, transformer_device: str | None = None
) -> AnyIDPipeline:
    """Load the model that a request names, on the accelerator when there is one.

    Args:
        run: its folder is where relative paths start.
        model: `base` (folder or hub id), `adapters` as of `generator.adapter_files.adapters_in`, and `bf16`
            where it is not left to the device.
        transformer_device: see `generator.model.checkpoint.load_pipeline`.
    """
    from generator.model.checkpoint import load_pipeline

    local = run.resolve(model["base"])
    adapters = adapters_in(model)
    precision = precision_of(model)
    print(f"{run.path.name} {precision}", flush=True)
    return load_pipeline(
        local if local.exists() else model["base"],
        [run.resolve(path) for path, _ in adapters],
        weights=[weight for _, weight in adapters],
        device=precision.device,
        dtype=precision.dtype,
        transformer_device=transformer_device,
    )


def make_videos(
    load: Callable[[], AnyIDPipeline],
    samples: Sequence[SampleRequest],
    settings: SamplerSettings,
    folder: Path,
    *,
    resolve: Callable[[str], Path] = Path,
    on_sample: OnSample = lambda facts, seconds: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make every video that the folder does not hold yet.

    Args:
        load: gives the model; called only when a video is missing.
        samples: what to make.
        settings: of the sampler.
        folder: of the videos, `<sample_id>.mp4`; made when missing.
        resolve: finds the file of a reference's path.
        on_sample: told of every finished video, in the order of the request.

    Returns:
        Facts of each video (`sample_id`, `path`, `sha256`, `width`, `height`, `num_frames`, `fps`,
        `size_bytes`), and `sample_id` with `error` of each that could not be made; where the model is at
        fault also the denoising `step` at which that began, see `generator.faults.Fault`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load_once = functools.cache(load)
    made: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for group in _batches(samples):
        finished = [_existing(folder, sample, settings) for sample in group]
        missing = [sample for sample, facts in zip(group, finished, strict=True) if facts is None]
        began = time.monotonic()
        broken = _make_missing(load_once, group, missing, settings, folder, resolve) if missing else []
        seconds = (time.monotonic() - began) / len(group) if missing else 0.0
        failed += broken
        unmade = {item["sample_id"] for item in broken}
        for sample, known in zip(group, finished, strict=True):
            if sample.sample_id not in unmade:
                facts = known or _existing(folder, sample, settings)
                if facts is None:
                    raise RunError(
                        f"{_target(folder, sample)} was written but does not decode; check the disk"
                    )
                made.append(facts)
                on_sample(facts, seconds)
    return made, failed


def _make_missing(
    load: Callable[[], AnyIDPipeline],
    group: Sequence[SampleRequest],
    missing: Sequence[SampleRequest],
    settings: SamplerSettings,
    folder: Path,
    resolve: Callable[[str], Path],
) -> list[dict[str, Any]]:
    """Sample a group and write those that are missing; says what could not be made, and why.

    A finished video stays as it is even when its neighbour is missing: their noise is their own.
    """
    try:
        references = [read_reference(resolve(path), kind, settings) for path, kind in group[0].references]
    except (ValueError, OSError) as error:
        return [_failure(sample, error) for sample in group]
    pipeline = load()
    if problem := pipeline.prompt_reader().read(group[0].prompt).problem:
        return [_failure(sample, problem) for sample in group]
    faults: Mapping[int, Fault] = {}
    try:
        videos = sample_batch(pipeline, references, group, settings)
    except BrokenVideoError as error:
        videos, faults = error.videos, error.faults
    except NotFiniteError as error:
        return [_failure(sample, error) for sample in missing]
    broken = []
    for index, (sample, frames) in enumerate(zip(group, videos, strict=True)):
        if sample in missing and (fault := faults.get(index)):
            broken.append({**_failure(sample, fault.reason), "step": fault.step})
        elif sample in missing:
            write_clip(_target(folder, sample), frames, settings.fps)
    return broken


def _failure(sample: SampleRequest, error: Exception | str) -> dict[str, Any]:
    line = " ".join(str(error).split()) or type(error).__name__
    return {"sample_id": sample.sample_id, "error": line}


def sample_batch(
    pipeline: AnyIDPipeline,
    references: Sequence[Array],
    group: Sequence[SampleRequest],
    settings: SamplerSettings,
) -> Array:
    """Sample the videos (B, F, H, W, 3) uint8 of requests that share references and prompt.

    References are frames (F, H, W, 3) uint8 of each, the primary first.

    Raises:
        BrokenVideoError: some of them cannot be used; it holds the others.
        NotFiniteError: no video can be made of these references.
    """
    videos: Array = pipeline(
        references=references,
        prompt=group[0].prompt,
        **settings.pipeline_arguments,
        num_videos_per_prompt=len(group),
        # On the CPU whatever the device, so that a seed means the same noise everywhere.
        generator=[torch.Generator().manual_seed(sample.seed) for sample in group],
        output_type="uint8",
        return_dict=False,
    )[0]
    return videos


def read_reference(path: Path, kind: ReferenceKind, settings: SamplerSettings) -> Array:
    """The frames of a reference as the model is shown them.

    Args:
        path: photo or clip.
        kind: a photo or half-body portrait is one frame, whatever the file holds.
        settings: a clip is read at the frame rate and at most the length of the video to make.

    Returns:
        (F, H, W, 3) uint8.

    Raises:
        ValueError: not readable; the message names the file.
        OSError: the file cannot be opened.
    """
    if not kind.is_clip or detect_format(path).kind is MediaKind.IMAGE:
        return read_clip(path, max_frames=1).frames
    return read_paced(path, settings.fps, max_frames=settings.num_frames)


def _batches(samples: Iterable[SampleRequest]) -> list[list[SampleRequest]]:
    """Neighbours with equal references and prompt."""
    grouped = itertools.groupby(samples, key=lambda sample: (sample.references, sample.prompt))
    return [list(group) for _, group in grouped]


def _target(folder: Path, sample: SampleRequest) -> Path:
    name = sample.sample_id
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise RunError(f"sample_id {name!r} is no file name; use letters and digits")
    return folder / f"{name}.mp4"


def _existing(folder: Path, sample: SampleRequest, settings: SamplerSettings) -> dict[str, Any] | None:
    """Facts of a finished video; None when it is missing or has another size or length."""
    path = _target(folder, sample)
    try:
        facts = probe(path)
    except (ValueError, OSError):
        return None
    wanted = (settings.width, settings.height, settings.num_frames)
    if (facts.width, facts.height, facts.num_frames) != wanted:
        return None
    return {
        "sample_id": sample.sample_id,
        "path": str(path),
        "sha256": file_sha256(path),
        "width": facts.width,
        "height": facts.height,
        "num_frames": facts.num_frames,
        "fps": settings.fps,
        "size_bytes": facts.size_bytes,
    }


def _take_threads(arguments: list[str]) -> list[str]:
    """Read `--threads N` (CPU threads; all when absent) and give back the other arguments."""
    if "--threads" not in arguments:
        return arguments
    position = arguments.index("--threads")
    count = arguments[position + 1 : position + 2]
    if not count or not count[0].isdecimal() or int(count[0]) < 1:
        raise SystemExit(
            f"error: --threads is {' '.join(count) or 'empty'}; give a whole number of at least 1"
        )
    torch.set_num_threads(int(count[0]))
    return arguments[:position] + arguments[position + 2 :]


if __name__ == "__main__":
    sys.exit(run_command(main, _take_threads(sys.argv[1:])))
