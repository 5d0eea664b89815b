"""Runs of differential prompts against a real HTTP server that is slow, wrong, busy, or gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from generator.portraits.world import CHECKPOINT
from generator.records import ELEMENTS, DifferentialPrompt, ElementChange
from generator.rundir import RunDir, RunError
from tests.generator.prompts.grey_runs import GREYS, PAIRS, PATIENCE, make_run, missing, turn
from tests.generator.prompts.openai_server import KEY, words

pytestmark = pytest.mark.slow


def transcript(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "transcripts.jsonl").read_text().splitlines()]


def check_prompts(run: RunDir) -> None:
    """Five elements change; the corner is the same, and the comparer found the hairstyles alike."""
    rows = run.read_result()["prompts"]
    assert [row["pair_id"] for row in rows] == [f"{a}-{b}" for a, b in PAIRS]
    for row, (before, after) in zip(rows, PAIRS, strict=True):
        prompt = DifferentialPrompt(row["text"], tuple(ElementChange(**item) for item in row["elements"]))
        changed = [element for element in ELEMENTS if element not in ("hairstyle", "clothing")]
        assert [change.element for change in prompt.changed] == changed
        assert {change.target for change in prompt.changed} == {words(element, after) for element in changed}
        assert {change.element: change.similarity for change in prompt.elements} == {
            element: {"hairstyle": 0.9, "clothing": 1.0}.get(element, 0.1) for element in ELEMENTS
        }
        assert f"The background changes to background in grey {after}." in row["text"]
        assert row["descriptions"]["primary"]["hairstyle"] == words("hairstyle", before)


def test_it_describes_each_medium_once_and_compares_each_pair_once(make, url, script, capsys) -> None:
    run = make_run(make, url)
    assert turn(run) == []
    check_prompts(run)
    assert script.asked == {f"description {grey}": 1 for grey in GREYS} | {
        f"comparison {a} {b}": 1 for a, b in PAIRS
    }
    summary = run.read_result()["summary"]
    calls = len(GREYS) + len(PAIRS)
    assert summary["calls"] == calls and summary["failures"] == {}
    assert summary["tokens"] == {"prompt": 1000 * calls, "completion": 100 * calls}
    assert summary["cost"] == pytest.approx(
        (len(GREYS) * (1000 * 2 + 100 * 10) + len(PAIRS) * (1000 * 1 + 100 * 1)) / 1e6
    )
    # 4 * 0.003 + 3 * 0.0011, as above.
    assert capsys.readouterr().out == (
        "3 of 3 prompts; 7 calls; failures: none; tokens: 7000 read, 700 written; cost: 0.0153\n"
    )
    turn(run)
    assert sum(script.asked.values()) == calls


def test_it_ends_complete_whatever_a_server_does_in_between(make, url, script) -> None:
    script.first["description"] = ["http_429", "http_429+2", "http_500", "malformed", "slow", "drip", "cut"]
    script.first["comparison"] = ["prose", "omitted", "invented", "wrong_value", "page", "empty"]
    run = make_run(make, url, timeout_s=1.5, patience={**PATIENCE, "attempts": 14})
    waits = turn(run)
    check_prompts(run)
    failures = {"http_429": 2, "http_500": 1, "malformed": 2, "timeout": 2, "connection": 1, "empty": 1}
    failures |= {"not_json": 1, "omitted": 1, "invented": 1, "wrong_value": 1}
    summary = run.read_result()["summary"]
    assert summary["failures"] == failures
    assert summary["calls"] == len(GREYS) + len(PAIRS) + sum(failures.values())
    # A wrong reply is asked again at once, with what was wrong; a sick server is waited for.
    assert len(waits) == 9
    assert sum(wait >= 2 for wait in waits) >= 1
    complaints = [entry["complaint"] for entry in transcript(run) if entry["complaint"]]
    assert any("'jewellery' was unexpected" in complaint for complaint in complaints)
    assert any("'camera_shot' is a required property" in complaint for complaint in complaints)


def test_a_transcript_holds_the_pictures_hashes_and_neither_pictures_nor_key(make, url, script) -> None:
    script.first["description"] = ["http_500"]
    run = make_run(make, url)
    turn(run)
    assert script.keys == {f"Bearer {KEY}"}
    looks = [entry for entry in transcript(run) if entry["form"] == "description"]
    by_medium = {entry["shown"][0]["medium"]: tuple(entry["shown"][0]["sha256"]) for entry in looks}
    assert len(set(by_medium.values())) == len(GREYS)
    assert all(len(digest) == 64 for digests in by_medium.values() for digest in digests)
    assert sum(entry["reply"] is None and entry["error"] == "HTTP 500: no today" for entry in looks) == 1
    for path in run.path.iterdir():
        text = path.read_text()
        assert KEY not in text and "base64" not in text


def test_what_is_missing_is_listed_exactly_and_a_restart_asks_only_for_that(make, url, script) -> None:
    script.always = {"description 120": "http_500", "comparison 80 160": "omitted"}
    run = make_run(make, url)
    with pytest.raises(RunError, match=r"2 of 3 prompts are missing; .*missing\.json says why"):
        turn(run)
    whys = missing(run)
    assert whys.keys() == {"40-120", "80-160"}
    assert "grey-120 is not described: sees: no answer in 4 attempts; HTTP 500" in whys["40-120"]
    assert "reads: no answer in 4 attempts; a wrong reply" in whys["80-160"]
    before = script.asked.copy()
    assert before["description 120"] == before["comparison 80 160"] == 4

    script.always = {}
    turn(run)
    check_prompts(run)
    assert not (run.path / "missing.json").exists()
    asked_again = {subject for subject in script.asked if script.asked[subject] > before[subject]}
    assert asked_again == {"description 120", "comparison 40 120", "comparison 80 160"}
    assert set(script.answered.values()) == {1}
    assert run.read_result()["summary"]["failures"] == {"http_500": 4, "omitted": 4}


@pytest.mark.parametrize(
    "fault", ["omitted", "invented", "wrong_value", "prose", "no_choice", "latin", "half"]
)
def test_a_reply_that_is_always_wrong_is_never_passed_on(make, url, script, fault) -> None:
    script.always = {f"description {grey}": fault for grey in GREYS}
    run = make_run(make, url)
    with pytest.raises(RunError, match="3 of 3 prompts are missing"):
        turn(run)
    assert len(missing(run)) == 3 and run.read_metrics() == []
    assert sum(script.asked.values()) == 4 * len(GREYS)


def test_a_wrong_key_is_not_tried_on_every_medium(make, url, script) -> None:
    script.always = {f"description {grey}": "http_401" for grey in GREYS}
    run = make_run(make, url, concurrency=1)
    with pytest.raises(RunError, match="3 of 3 prompts are missing"):
        turn(run)
    assert sum(script.asked.values()) == 1
    assert all("sees: HTTP 401" in why for why in missing(run).values())


def test_it_does_not_wait_longer_than_it_may(make, url, script) -> None:
    script.always = {f"description {grey}": "http_429+3600" for grey in GREYS}
    run = make_run(make, url)
    with pytest.raises(RunError, match="3 of 3"):
        turn(run)
    assert all("asks to wait 3600 s" in why for why in missing(run).values())
    assert sum(script.asked.values()) == len(GREYS)


def test_an_unreadable_medium_costs_only_its_own_pairs(make, url, script) -> None:
    run = make_run(make, url)
    make.bytes("160.png", b"<svg/>")
    with pytest.raises(RunError, match="1 of 3"):
        turn(run)
    assert missing(run).keys() == {"80-160"}
    make.photo("160.png", grey=160)
    turn(run)
    check_prompts(run)


def test_one_step_asks_one_model_once_a_pair(make, url, script) -> None:
    script.first["changes"] = ["omitted"]
    request = make_run(make, url).read_request()
    del request["comparer"]
    run = RunDir(make.folder / "one")
    run.create({**request, "mode": "one_step"})
    turn(run)
    for row, (_, after) in zip(run.read_result()["prompts"], PAIRS, strict=True):
        assert f"Show background in grey {after}." in row["text"] and "corner" not in row["text"]
        assert sum(item["changed"] for item in row["elements"]) == 6
    assert sum(script.asked.values()) == len(PAIRS) + 1
    assert run.read_result()["summary"]["failures"] == {"omitted": 1}


def test_a_clip_is_shown_as_several_frames(make, url, script) -> None:
    run = make_run(make, url)
    request = run.read_request()
    request["media"]["grey-40"] = f"../{make.clip(num_frames=12).name}"
    run = RunDir(make.folder / "clip")
    run.create(request)
    turn(run)
    counts = [
        sum(part["type"] == "image_url" for part in body["messages"][0]["content"]) for body in script.bodies
    ]
    assert sorted(counts) == [0, 0, 0, 1, 1, 1, 8]


def test_no_more_questions_are_open_than_allowed(make, url, script) -> None:
    """Two at a time do come together, and never three."""
    script.meeting, script.pause_s = threading.Barrier(2), 0.05
    run = make_run(make, url, concurrency=2)
    turn(run)
    assert script.most_open == 2


def test_a_killed_run_goes_on_where_it_was(make, url, script) -> None:
    """Killed once two descriptions are noted: those are not asked for again."""
    script.pause_s = 0.2
    run = make_run(make, url, concurrency=1)
    command = [sys.executable, "-m", "generator.prompts", str(run.path)]
    child = subprocess.Popen(command)
    while len(run.read_metrics()) < 2 and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with open(run.path / "transcripts.jsonl", "a") as file:
        file.write('{"torn')
    noted = {f"description {line['medium_id'].removeprefix('grey-')}" for line in run.read_metrics()}
    assert len(noted) >= 2
    script.pause_s = 0.0
    turn(run)
    check_prompts(run)
    assert all(script.asked[subject] == 1 for subject in noted)
    assert sum(script.asked.values()) <= len(GREYS) + len(PAIRS) + 1


def test_an_interrupted_run_waits_for_no_server(make, url, script) -> None:
    """Ctrl-C in the middle of an hour's wait ends it, and what was done stays."""
    script.always = {"description 120": "http_500"}
    patience = {"attempts": 3, "first_wait_s": 3600, "longest_wait_s": 3600}
    run = make_run(make, url, patience=patience)
    child = subprocess.Popen(
        [sys.executable, "-m", "generator.prompts", str(run.path)],
        stderr=subprocess.PIPE,
        # What runs in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(run.read_metrics()) < 5 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=60)[1]
    assert script.asked["description 120"] == 1
    assert len(run.read_metrics()) == 5, "three descriptions and two prompts"


def test_the_command_says_in_one_line_what_is_missing(make, url, script, capfd) -> None:
    run = make_run(make, "http://127.0.0.1:9/v1", patience={**PATIENCE, "attempts": 1})
    command = [sys.executable, "-m", "generator.prompts", str(run.path)]
    assert subprocess.run(command).returncode == 1
    assert capfd.readouterr().err.splitlines() == [
        f"error: 3 of 3 prompts are missing; {run.path / 'missing.json'} says why; "
        "run the folder again to ask for them"
    ]
    assert all("http://127.0.0.1:9/v1" in why for why in missing(run).values())


def test_a_file_without_a_key_is_named_before_anything_is_asked(make, url, script) -> None:
    run = make_run(make, url)
    (make.folder / "key").unlink()
    with pytest.raises(OSError, match="key"):
        turn(run)
    assert not script.asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "sample"}, "stage is 'sample'; it must be prompts"),
        ({"gamma": 2}, "gamma is 2; it must be in \\[0, 1\\]"),
        ({"speed": 1}, "has an unknown field .speed."),
        ({"mode": "one_step"}, "mode one_step has none"),
        ({"concurrency": 0}, "concurrency is 0; it must be at least 1"),
        ({"pairs": [{"pair_id": "a", "primary": "x", "target": "x"}]}, "pair 'a': media has no 'x'"),
        (
            {"pairs": 2 * [{"pair_id": "a", "primary": "grey-40", "target": "grey-80"}]},
            "pair 'a' is in the request twice",
        ),
        ({"describer": {"backend": "embedding"}}, "describer: backend is 'embedding'; it must be one of"),
        ({"describer": {"backend": "server", "api_key": "x"}}, "holds no api_key; name its file"),
        ({"comparer": {"backend": "server", "model": "m"}}, "comparer: has no base_url"),
        (
            {"describer": {"backend": "server", "base_url": "http://u:p@h/v1", "model": "m"}},
            "base_url holds a user or a password",
        ),
        (
            {"describer": {"backend": "server", "base_url": "ftp://h", "model": "m"}},
            "base_url is 'ftp://h'; it must be like",
        ),
        (
            {
                "describer": {
                    "backend": "server",
                    "base_url": "http://h/v1",
                    "model": "m",
                    "options": {"stream": True},
                }
            },
            "options hold 'stream', which is set here",
        ),
        ({"patience": {"first_wait_s": 5, "longest_wait_s": 1}}, "first_wait_s is 5; it must be from 0 to"),
    ],
)
def test_a_wrong_request_is_named(make, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        turn(make_run(make, "http://127.0.0.1:9/v1", **change))


def test_a_restored_run_forgets_no_line_and_reads_no_torn_one(make, url, script) -> None:
    run = make_run(make, url)
    turn(run)
    (run.path / "result.json").unlink()
    lines = Path(run.path / "metrics.jsonl").read_text()
    (run.path / "metrics.jsonl").write_text(lines + '{"medium_id": "grey-')
    before = script.asked.copy()
    turn(run)
    check_prompts(run)
    assert script.asked == before and (run.path / "metrics.jsonl").read_text() == lines


def test_a_prompt_that_no_model_reads_to_its_end_is_missing_with_the_reason(make, url, script) -> None:
    tokenizer = CHECKPOINT / "tokenizer" / "tokenizer.json"
    core, shipped = Tokenizer.from_file(str(tokenizer)), {"tokenizer": str(tokenizer)}
    run = make_run(
        make, url, readers={"narrow": {**shipped, "max_tokens": 2}, "wide": {**shipped, "max_tokens": 8}}
    )
    with pytest.raises(RunError, match="3 of 3 prompts are missing"):
        turn(run)
    for why in missing(run).values():
        assert "the model reads 8" in why and "would be cut; shorten it by" in why
    assert not any("prompt" in line for line in run.read_metrics())

    request, wide = run.read_request(), RunDir(make.folder / "again")
    wide.create(request | {"readers": {**request["readers"], "wide": {**shipped, "max_tokens": 999}}})
    turn(wide)
    lines = [line for line in wide.read_metrics() if "prompt" in line]
    for line in lines:
        tokens = len(core.encode(line["prompt"]["text"]).ids)
        assert line["not_read"].startswith(f"narrow: the prompt has {tokens} tokens and the model reads 2")
    assert len(lines) == len(PAIRS)
