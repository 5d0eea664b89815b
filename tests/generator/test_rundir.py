"""The run folder: written once, appended to, held alone, and never outliving its worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from generator.rundir import RunDir, RunError, run_command


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.create({"stage": "sample", "samples": []})
    return run


def test_it_keeps_its_request(run):
    run.create({"stage": "sample", "samples": []})
    with pytest.raises(RunError, match="another request"):
        run.create({"stage": "sample", "samples": [1]})
    assert run.read_request() == {"stage": "sample", "samples": []}


def test_it_is_done_once_the_result_is_there(run):
    assert not run.is_done
    with pytest.raises(RunError, match="run or resume it first"):
        run.read_result()
    run.write_result({"samples": 3})
    assert run.is_done and run.read_result() == {"samples": 3}
    assert not list(run.path.glob("*.tmp"))


def test_it_reads_only_whole_lines_of_metrics(run):
    for step in range(3):
        run.append_metrics({"step": step})
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    assert [line["step"] for line in run.read_metrics()] == [0, 1, 2]
    assert [line["step"] for line in run.read_metrics(2)] == [2]
    run.truncate_metrics(lambda line: line["step"] < 2)
    run.append_metrics({"step": 2})
    assert [line["step"] for line in run.read_metrics()] == [0, 1, 2]


def test_it_refuses_what_is_no_number(run):
    with pytest.raises(ValueError):
        run.append_metrics({"loss": float("nan")})


def test_paths_start_at_the_folder(run, tmp_path):
    file = tmp_path / "media" / "clip.mp4"
    assert run.relative(file) == "../media/clip.mp4"
    assert run.resolve("../media/clip.mp4") == file
    assert run.resolve(str(file)) == file


@pytest.mark.parametrize(("text", "says"), [("{", "not valid JSON"), ("[]", "must hold a JSON object")])
def test_a_broken_request_is_named(run, text, says):
    (run.path / "request.json").write_text(text)
    with pytest.raises(RunError, match=says):
        run.read_request()


HOLDS = """
import sys
from generator.rundir import RunDir
with RunDir(sys.argv[1]).open(attached="--attached" in sys.argv):
    print("holds", flush=True)
    if "--leave" not in sys.argv:
        import time
        time.sleep(60)
"""


def holder(run: RunDir, *flags: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(run.path), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "holds\n"
    return child


def test_one_process_works_in_a_folder(run):
    child = holder(run)
    try:
        with pytest.raises(RunError, match="another process"), run.open():
            pass
    finally:
        child.kill()
        child.communicate()
    with run.open() as request:
        assert request["stage"] == "sample"


def test_an_attached_run_ends_with_its_worker(run):
    child = holder(run, "--attached")
    child.communicate(timeout=30)
    assert child.returncode == 143


def test_an_attached_run_ends_by_itself_while_its_worker_lives(run):
    child = holder(run, "--attached", "--leave")
    assert child.wait(timeout=30) == 0
    assert child.communicate()[1] == ""


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--help"]])
def test_wrong_usage_is_told(arguments, capsys):
    assert run_command(lambda run, attached: None, arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_a_known_failure_is_one_line(tmp_path, capsys):
    def fail(run: RunDir, attached: bool) -> None:
        run.read_request()

    assert run_command(fail, [str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path} is not a run folder: it has no request.json\n"
    assert run_command(lambda run, attached: run.create(json.loads('{"a": 1}')), [str(tmp_path / "new")]) == 0
