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

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from generator.display_copies import write_display_copy
from generator.faults import BrokenVideoError, Fault, NotFiniteError
from generator.media import MediaKind, MediaLimits, detect_format, file_sha256
from generator.model.precision import Precision, choose_precision
from generator.records import ReferenceKind, SampleRequest, SamplerSettings
from generator.rundir import RunDir, RunError, run_command
from generator.validation import read
from generator.video import probe, read_clip, read_paced, write_clip

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
    run.truncate_metrics(lambda line: False)
    done = itertools.count(1)

    def note(facts: dict[str, Any], seconds: float) -> None:
        shown = run.path / "shown" / f"{facts['sample_id']}.mp4"
        if not shown.exists():
            write_display_copy(Path(facts["path"]), shown, name=facts["sha256"])
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
        model: `base` (folder or hub id), `adapters` (folders), and `bf16` where it is not left to the device.
        transformer_device: see `generator.model.checkpoint.load_pipeline`.
    """
    from generator.model.checkpoint import load_pipeline

    local = run.resolve(model["base"])
    adapters = [run.resolve(adapter) for adapter in model.get("adapters", [])]
    precision = precision_of(model)
    print(f"{run.path.name} {precision}", flush=True)
    return load_pipeline(
        local if local.exists() else model["base"],
        adapters,
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
    made: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    pipeline: AnyIDPipeline | None = None
    for group in _batches(samples):
        kept = {sample.sample_id: _existing(folder, sample, settings) for sample in group}
        began = time.monotonic()
        missing = [sample for sample in group if kept[sample.sample_id] is None]
        if missing:
            try:
                references = [
                    read_reference(resolve(path), kind, settings) for path, kind in group[0].references
                ]
            except (ValueError, OSError) as error:
                failed += [{"sample_id": sample.sample_id, "error": _one_line(error)} for sample in group]
                continue
            pipeline = pipeline or load()
            if problem := pipeline.prompt_reader().read(group[0].prompt).problem:
                failed += [{"sample_id": sample.sample_id, "error": problem} for sample in group]
                continue
            # A finished video stays as it is even when its neighbour is missing: their noise is their own.
            broken = _write_batch(pipeline, references, group, missing, settings, folder)
            failed += broken
            kept = {
                sample.sample_id: kept[sample.sample_id] or _existing(folder, sample, settings)
                for sample in group
                if sample.sample_id not in {item["sample_id"] for item in broken}
            }
        seconds = (time.monotonic() - began) / len(group) if missing else 0.0
        for sample_id, facts in kept.items():
            if facts is None:
                raise RunError(f"{folder / sample_id}.mp4 was written but does not decode; check the disk")
            made.append(facts)
            on_sample(facts, seconds)
    return made, failed


def _write_batch(
    pipeline: AnyIDPipeline,
    references: Sequence[Array],
    group: Sequence[SampleRequest],
    missing: Sequence[SampleRequest],
    settings: SamplerSettings,
    folder: Path,
) -> list[dict[str, Any]]:
    """Sample a group and write those that are missing; what is wrong with the others of them."""
    faults: Mapping[int, Fault] = {}
    try:
        videos = sample_batch(pipeline, references, group, settings)
    except BrokenVideoError as error:
        videos, faults = error.videos, error.faults
    except NotFiniteError as error:
        return [{"sample_id": sample.sample_id, "error": _one_line(error)} for sample in missing]
    broken: list[dict[str, Any]] = []
    for place, (sample, frames) in enumerate(zip(group, videos, strict=True)):
        if sample not in missing:
            continue
        if place in faults:
            fault = faults[place]
            broken.append({"sample_id": sample.sample_id, "error": fault.reason, "step": fault.step})
        else:
            write_clip(_target(folder, sample), frames, settings.fps)
    return broken


def sample_batch(
    pipeline: AnyIDPipeline,
    references: Sequence[Array],
    group: Sequence[SampleRequest],
    settings: SamplerSettings,
) -> Array:
    """Sample videos that share references and prompt.

    Args:
        pipeline: the model.
        references: frames (F, H, W, 3) uint8 of each, the primary first.
        group: one request a video.
        settings: of the sampler.

    Returns:
        (B, F, H, W, 3) uint8.

    Raises:
        BrokenVideoError: some of them cannot be used; it holds the others.
        NotFiniteError: no video can be made of these references.
    """
    videos: Array = pipeline(
        references=references,
        prompt=group[0].prompt,
        height=settings.height,
        width=settings.width,
        num_frames=settings.num_frames,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
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
    if not kind.is_clip or detect_format(path, MediaLimits()).kind is MediaKind.IMAGE:
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
    if (facts.width, facts.height, facts.num_frames) != (
        settings.width,
        settings.height,
        settings.num_frames,
    ):
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _take_threads(arguments: list[str]) -> list[str]:
    """Read `--threads N` (CPU threads; all when absent) and give back the other arguments."""
    if "--threads" not in arguments:
        return arguments
    place = arguments.index("--threads")
    count = arguments[place + 1 : place + 2]
    if not count or not count[0].isdecimal() or int(count[0]) < 1:
        raise SystemExit(
            f"error: --threads is {' '.join(count) or 'empty'}; give a whole number of at least 1"
        )
    torch.set_num_threads(int(count[0]))
    return arguments[:place] + arguments[place + 2 :]


if __name__ == "__main__":
    sys.exit(run_command(main, _take_threads(sys.argv[1:])))
