"""VBench as an external command: a script in its place that takes its arguments and writes its results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlhf.evaluation.columns import columns_of
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.metrics.vbench import DIMENSIONS, VBench, column, make
from rlhf.evaluation.records import EvaluationInstance, MetricError

ASKED = EvaluationInstance("i", "", (), ())
#: Speaks as VBench does: -c asks for its version, -m looks at a folder; a line in `runs` for each time.
SCRIPT = """#!{python}
import argparse, json, pathlib, sys, time
if sys.argv[1] == "-c":
    sys.exit(print("0.1.5"))
parser = argparse.ArgumentParser()
parser.add_argument("-m")
for name in ("--videos_path", "--output_path", "--mode"):
    parser.add_argument(name)
parser.add_argument("--dimension", nargs="+")
asked = parser.parse_args()
assert (asked.m, asked.mode) == ("vbench.launch.evaluate", "custom_input")
with open({runs!r}, "a") as file:
    file.write(asked.videos_path + "\\n")
{trouble}
videos = sorted(pathlib.Path(asked.videos_path).glob("*.mp4"))
results = {{}}
for place, dimension in enumerate(asked.dimension):
    out_of = 100 if dimension == "imaging_quality" else 1
    figures = [out_of * (place + 1) / 10 + out_of * number / 100 for number in range(len(videos))]
    rows = [{{"video_path": str(video), "video_results": figure}} for video, figure in zip(videos, figures)]
    results[dimension] = [sum(figures) / len(figures), rows]
results["dynamic_degree"][1][0]["video_results"] = True
written = pathlib.Path(asked.output_path, "results_2026-11-25-13:00:00_eval_results.json")
written.write_text(json.dumps(results))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos; nobody opens them here."""
    (tmp_path / "system").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "system" / name).touch()
    return tmp_path / "system"


def metric(folder: Path, trouble: str = "", **settings: object) -> VBench:
    python = folder.parent / "python"
    runs = str(folder.parent / "runs")
    python.write_text(SCRIPT.format(python=sys.executable, runs=runs, trouble=trouble))
    python.chmod(0o755)
    return make(MetricOptions(allow_non_commercial=True, settings={"python": str(python), **settings}))


def runs(folder: Path) -> list[str]:
    return (folder.parent / "runs").read_text().splitlines()


def test_a_folder_is_looked_at_once_and_each_video_has_its_figures(folder: Path) -> None:
    vbench = metric(folder)
    first, second = (vbench.score(folder / name, ASKED, Path) for name in ("a.mp4", "b.mp4"))
    assert runs(folder) == [str(folder)]
    expected = {column(name): (place + 1) / 10 for place, name in enumerate(DIMENSIONS)}
    assert first.values == pytest.approx(expected | {"vbench_dynamic_degree": 1.0})
    assert second.values == pytest.approx({name: value + 0.01 for name, value in expected.items()})
    assert vbench.facts.model == "vbench 0.1.5"
    assert vbench.facts.columns == tuple(found.name for found in columns_of("vbench"))
    (folder / "late.mp4").touch()
    late = vbench.score(folder / "late.mp4", ASKED, Path)
    assert not late.values and set(late.holes) == set(vbench.facts.columns)


@pytest.mark.parametrize(
    ("trouble", "timeout_s", "says"),
    [
        ("raise SystemExit('no CUDA device')", 60, "VBench on system: .*python ended with 1: no CUDA device"),
        ("time.sleep(60)", 1, "VBench on system: no end within timeout_s, 1; raise it"),
        ("sys.exit()", 60, "VBench on system: it wrote 0 files of results; 1 was expected"),
    ],
)
def test_a_failure_is_one_line_for_all_videos_of_the_folder(
    folder: Path, trouble: str, timeout_s: float, says: str
) -> None:
    vbench = metric(folder, trouble, timeout_s=timeout_s)
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(MetricError, match=says) as refused:
            vbench.score(folder / name, ASKED, Path)
        assert "\n" not in str(refused.value)
        (folder.parent / "python").unlink(missing_ok=True)  # a second run would fail in other words


def test_what_is_not_there_or_not_allowed_is_named(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "python")
    with pytest.raises(
        ValueError, match="cannot be started: No such file or directory; install it in an env"
    ):
        make(MetricOptions(allow_non_commercial=True, settings={"python": nowhere}))
    with pytest.raises(ValueError, match="PackageNotFoundError.*vbench; install it in an environment"):
        make(MetricOptions(allow_non_commercial=True, settings={"python": sys.executable}))
    with pytest.raises(ValueError, match="must not be used commercially; allow non-commercial weights"):
        make(MetricOptions(settings={"python": sys.executable}))
    with pytest.raises(ValueError, match="has no python; its settings are"):
        make(MetricOptions(allow_non_commercial=True))
