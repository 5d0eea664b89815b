"""Make videos: `python -m generator.sample RUNDIR [--attached] [--threads N]`.

    request.json    {"stage": "sample", "model": {"base", "adapters"}, "settings": {...}, "samples": [...]}
    samples/        <sample_id>.mp4, each complete or absent
    shown/          <sample_id>.mp4, the copy of each that people are shown
    metrics.jsonl   one line a finished sample
    result.json     {"samples": [...], "failed": [...]}

A killed run is resumed by the same command: finished videos stay, the others are made. Neighbours in the
request with equal references and prompt (a pair) are one batch, but each has its own noise, so that a video
depends on its own seed alone.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from generator.display_copies import write_display_copy
from generator.media import file_sha256
from generator.records import ReferenceKind, SampleRequest, SamplerSettings
from generator.rundir import RunDir, RunError, run_command
from generator.video import probe, read_clip, write_clip

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
        if run.is_done:
            return
        try:
            settings = SamplerSettings(**request["settings"])
            samples = [SampleRequest.from_json(item) for item in request["samples"]]
        except (KeyError, TypeError) as error:
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
            lambda: load_model(run, request["model"]),
            samples,
            settings,
            run.path / "samples",
            resolve=run.resolve,
            on_sample=note,
        )
        relative = [{**facts, "path": run.relative(facts["path"])} for facts in made]
        run.write_result({"samples": relative, "failed": failed})


def load_model(
    run: RunDir, model: Mapping[str, Any], *, transformer_device: str | None = None
) -> AnyIDPipeline:
    """Load the model that a request names, on the accelerator when there is one.

    Args:
        run: its folder is where relative paths start.
        model: `base` (folder or hub id) and `adapters` (folders).
        transformer_device: see `generator.model.checkpoint.load_pipeline`.
    """
    from generator.model.checkpoint import load_pipeline

    local = run.resolve(model["base"])
    adapters = [run.resolve(adapter) for adapter in model.get("adapters", [])]
    has_gpu = torch.cuda.is_available()
    return load_pipeline(
        local if local.exists() else model["base"],
        adapters,
        device="cuda" if has_gpu else "cpu",
        dtype=torch.bfloat16 if has_gpu else None,
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
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
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
        `size_bytes`), and `sample_id` with `error` of each that could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    pipeline: AnyIDPipeline | None = None
    for group in _batches(samples):
        kept = {sample.sample_id: _existing(folder, sample, settings) for sample in group}
        seconds = 0.0
        if None in kept.values():
            began = time.monotonic()
            try:
                references = [
                    read_reference(resolve(path), kind, settings) for path, kind in group[0].references
                ]
            except (ValueError, OSError) as error:
                failed += [{"sample_id": sample.sample_id, "error": _one_line(error)} for sample in group]
                continue
            pipeline = pipeline or load()
            videos = sample_batch(pipeline, references, group, settings)
            # A finished video stays as it is even when its neighbour is missing: their noise is their own.
            for sample, frames in zip(group, videos, strict=True):
                if kept[sample.sample_id] is None:
                    write_clip(_target(folder, sample), frames, settings.fps)
                    kept[sample.sample_id] = _existing(folder, sample, settings)
            seconds = (time.monotonic() - began) / len(group)
        for sample in group:
            facts = kept[sample.sample_id]
            if facts is None:
                raise RunError(f"{_target(folder, sample)} was written but does not decode; check the disk")
            made.append(facts)
            on_sample(facts, seconds)
    return made, failed


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
    """
    latents = pipeline(
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
        output_type="latent",
        return_dict=False,
    )[0]
    return pipeline.decode_latents(latents)


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
    if kind is not ReferenceKind.CLIP:
        return read_clip(path, max_frames=1).frames
    rate = probe(path).fps / settings.fps
    if rate <= 0:
        return read_clip(path, max_frames=1).frames
    clip = read_clip(path, max_frames=math.ceil(rate * (settings.num_frames - 1)) + 1).frames
    picks = (np.arange(settings.num_frames) * rate).round().astype(int)
    return clip[picks[picks < len(clip)]]


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
