"""The original VBench as an external command in an environment of its own: columns vbench_*.

Its package wants versions of torch, numpy and transformers that fit into no environment of ours, and a CUDA
device. It looks at a folder of videos at a time, and fetches its own weights when it first runs. Two of its
networks must not be used commercially, so it is refused until that is allowed; `quality` needs neither.

Settings: `python`, the path of that environment's interpreter, and `timeout_s` of one folder.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import Field

from generator.validation import Positive, read, record
from rlhf.evaluation.columns import VBENCH
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import EvaluationInstance, MetricError, MetricFacts, VideoScores

#: What each video's figure is out of.
DIMENSIONS: Mapping[str, float] = {**dict.fromkeys(VBENCH, 1), "imaging_quality": 100}
_VERSION = "import importlib.metadata as m; print(m.version('vbench'))"


def column(dimension: str) -> str:
    """Of the table."""
    return f"vbench_{dimension}"


@record
class VBenchSettings:
    """Where it is installed, and how long one folder may take."""

    python: str = Field(min_length=1, description="the interpreter of its environment")
    timeout_s: Positive = Field(default=3600, description="of one folder")


@dataclass
class VBench:
    """A `Metric` that runs once a folder, at the first video of it."""

    facts: MetricFacts  # what its figures rest on
    python: str  # interpreter with VBench
    timeout_s: float  # of one folder
    _known: dict[Path, Mapping[str, Mapping[str, float]] | str] = field(default_factory=dict)

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """What VBench says of one video; see `Metric`. It failed on all of a folder, or on none."""
        folder = video.parent.resolve()
        if folder not in self._known:
            self._known[folder] = self._evaluate(folder)
        figures = self._known[folder]
        if isinstance(figures, str):
            raise MetricError(figures)
        values = {column(name): said[video.name] for name, said in figures.items() if video.name in said}
        silent = [column(name) for name in DIMENSIONS if column(name) not in values]
        return VideoScores(values, dict.fromkeys(silent, "VBench says nothing of this video"))

    def _evaluate(self, folder: Path) -> Mapping[str, Mapping[str, float]] | str:
        """By dimension and file name; or why not."""
        with TemporaryDirectory() as output:
            arguments = ["--videos_path", str(folder), "--output_path", output, "--mode", "custom_input"]
            command = ["-m", "vbench.launch.evaluate", *arguments, "--dimension", *DIMENSIONS]
            try:
                _run(self.python, command, self.timeout_s, output)
                files = list(Path(output).glob("*_eval_results.json"))
                if len(files) != 1:
                    return f"VBench on {folder.name}: it wrote {len(files)} files of results; 1 was expected"
                return read_results(json.loads(files[0].read_text(encoding="utf-8")))
            except ValueError as error:
                return f"VBench on {folder.name}: {error}"


def make(options: MetricOptions) -> VBench:
    """Look whether VBench is there."""
    try:
        asked = read(VBenchSettings, dict(options.settings))
    except ValueError as error:
        raise ValueError(f"{error}; its settings are python and timeout_s") from None
    if not options.allow_non_commercial:
        raise ValueError(
            "two of its networks (AMT, CC BY-NC 4.0; MUSIQ, CC BY-NC-SA 4.0) must not be used "
            "commercially; allow non-commercial weights if your use is none, or use quality"
        )
    # Not resolved: an environment's python is a link, and knows by its own place which environment it is.
    python = str(Path(asked.python).absolute())
    try:
        version = _run(python, ["-c", _VERSION], 60, None).strip()
    except ValueError as error:
        raise ValueError(
            f"vbench: {error}; install it in an environment of its own, name its python"
        ) from None
    return VBench(describe(version), python, asked.timeout_s)


def describe(version: str) -> MetricFacts:
    """The facts of a version of VBench."""
    return MetricFacts(
        metric="vbench",
        columns=tuple(map(column, DIMENSIONS)),
        model=f"vbench {version}",
        weights_sha256="",
        licence="Apache-2.0; AMT CC BY-NC 4.0; MUSIQ CC BY-NC-SA 4.0",
        frames="as VBench takes them",
        missing="a video that VBench leaves out has no value",
        settings={"mode": "custom_input", "out_of": dict(DIMENSIONS)},
    )


def read_results(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Each video's figures in [0, 1], by dimension and file name; VBench gives a mean and a list of each."""
    try:
        return {
            name: {
                Path(row["video_path"]).name: float(row["video_results"]) / out_of for row in results[name][1]
            }
            for name, out_of in DIMENSIONS.items()
            if name in results
        }
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"its results have another form than expected: {error!r}") from None


def _run(python: str, arguments: Sequence[str], timeout_s: float, folder: str | None) -> str:
    """What a command prints.

    Raises:
        ValueError: it cannot be started, fails or takes too long; one line.
    """
    try:
        done = subprocess.run(
            [python, *arguments], cwd=folder, timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ValueError(f"{python} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"no end within timeout_s, {timeout_s:g}; raise it") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise ValueError(f"{python} ended with {done.returncode}: {last}")
    return done.stdout
