"""Several workers on the shards of one evaluation, and what its command makes of them."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from generator.parts import UNMADE, ends_of_batches  # noqa: E402
from rlhf.evaluation import parts  # noqa: E402
from rlhf.evaluation.making import Maker  # noqa: E402
from tests.rlhf.evaluation.painted_systems import Painter, evaluated  # noqa: E402
from tests.shard_workers import work  # noqa: E402


def test_workers_on_shards_make_what_one_command_makes(make_run, painted, monkeypatch):
    """One of them is killed; nobody reads the prompt of instance 3, so its videos are holes."""
    read = SimpleNamespace(
        read=lambda prompt: SimpleNamespace(problem="too long" if "look 3" in prompt else "")
    )
    monkeypatch.setattr(Painter, "prompt_reader", lambda painter: read)
    run = make_run()
    whole, kept = evaluated(run), files_of(run)
    for name in kept.keys() - {"request.json"}:
        (run.path / name).unlink()

    items = parts.items(run.read_request(), run)
    assert ends_of_batches(items) == [*range(2, 17, 2)], "the seeds of an instance are made together"
    painted.clear()
    ends = work(run, parts.__name__, [(0, 6), (6, 12), (12, 16)], lambda: Maker().make, killed_after=3)
    assert [len(end.made) for end in ends] == [6, 4, 2]
    times = Counter(name for name, *_ in painted)
    # Each once per system, and again what the killed worker had not brought up, in whole batches.
    assert times == {"0-1": 2, "0-2": 2, "1-1": 3, "1-2": 3, "2-1": 3, "2-2": 3}

    failed = [failure for end in ends for failure in end.failed]
    (run.path / UNMADE).write_text(json.dumps(failed))
    painted.clear()
    assert evaluated(run) | {"seconds": 0} == whole | {"seconds": 0} and painted == []
    assert len(whole["failed"]) == 4 and not (run.path / UNMADE).exists()
    ours = files_of(run)
    assert ours.keys() == kept.keys()
    same = [name for name in kept if name.endswith((".mp4", ".json")) and name != "result.json"]
    assert [name for name in same if ours[name] != kept[name]] == []


def files_of(run):
    paths = (path for path in run.path.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(run.path)): path.read_bytes() for path in paths}
