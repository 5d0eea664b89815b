"""Several workers on the shards of one run of differential prompts."""

from __future__ import annotations

import json
from functools import partial

import pytest

from generator.parts import UNMADE, ends_of_batches
from generator.prompts import parts
from generator.rundir import RunError
from tests.generator.prompts.grey_runs import GREYS, PATIENCE, make_run, missing, turn
from tests.shard_workers import work

pytestmark = pytest.mark.slow


def test_workers_on_shards_write_what_one_command_writes(make, url, script) -> None:
    """One of them is killed after a prompt, and one question is never answered properly."""
    pairs = [(40, 80), (80, 40), (120, 160), (160, 120)]
    asked = [{"pair_id": f"{a}-{b}", "primary": f"grey-{a}", "target": f"grey-{b}"} for a, b in pairs]
    script.always = {"comparison 160 120": "prose"}
    run = make_run(make, url, pairs=asked, concurrency=1)
    with pytest.raises(RunError, match="1 of 4 prompts are missing"):
        turn(run)
    whole = json.loads((run.path / "missing.json").read_text())
    lines = {line["pair_id"]: line["prompt"] for line in run.read_metrics() if "pair_id" in line}
    for name in ("missing.json", "metrics.jsonl", "transcripts.jsonl"):
        (run.path / name).unlink()

    assert ends_of_batches(parts.items(run.read_request(), run)) == [2, 4], "a medium is described once"
    script.asked.clear()
    maker = partial(parts.make, models={})
    ends = work(run, parts.__name__, [(0, 2), (2, 4)], lambda: maker, killed_after=1)
    assert [end.made for end in ends] == [["40-80", "80-40"], ["120-160"]]
    assert script.asked == {f"description {grey}": 1 for grey in GREYS} | {
        **{f"comparison {a} {b}": 1 for a, b in pairs},
        "comparison 80 40": 2,  # it was under way when the worker was killed
        "comparison 160 120": PATIENCE["attempts"],
    }
    (run.path / UNMADE).write_text(json.dumps(ends[-1].failed))
    script.asked.clear()
    with pytest.raises(RunError, match="1 of 4 prompts are missing"):
        turn(run)
    assert not script.asked and missing(run).keys() == {"160-120"}
    assert json.loads((run.path / "missing.json").read_text()) == whole
    assert {line["pair_id"]: line["prompt"] for line in run.read_metrics() if "pair_id" in line} == lines
    script.always.clear()
    turn(run)
    assert script.asked == {"comparison 160 120": 1} and len(run.read_result()["prompts"]) == 4
