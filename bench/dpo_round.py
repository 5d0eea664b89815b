"""Does a Flow-DPO round make the model better? The whole loop on the drawn world, with its ablations.

The shipped supervised model has learned from data as they are found. 400 pairs of its videos of 200
people are judged by simulated annotators of whom one mostly clicks left, exported by a rule, trained on,
and compared with the model before by the oracle: on people who are in neither the pairs nor the choice of
settings. Everything under `var/bench/dpo_round/` is kept, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.dpo_world import (
    COINS,
    SIDES,
    Question,
    Videos,
    choose,
    draw_questions,
    evaluation_request,
    export_rows,
    judge,
    pair_seeds,
    sample_items,
    score_pairs,
    truth_of,
)
from bench.plot import Interval, forest
from bench.timing import OUTPUT, machine
from generator.portraits.world import CHECKPOINT, SUPERVISED, Split
from generator.records import SamplerSettings
from generator.rundir import RunDir
from rlhf.dpo.config import FlowDPOConfig
from rlhf.export.freezing import write_export
from rlhf.records import Consensus, Track
from rlhf.votes.consensus import RULE_VERSION

FOLDER = OUTPUT / "dpo_round"
MODEL = {"base": str(CHECKPOINT), "adapters": [str(SUPERVISED)]}
#: Without guidance: Flow-DPO is about the model itself, and guidance hides its faults.
SETTINGS = asdict(SamplerSettings(guidance_scale=1.0, num_inference_steps=10))
#: Noise of the comparison: so many videos of each question.
SEEDS = (0, 1)
#: Run at a time, one core each.
PROCESSES = 2
#: `coin` is the Pareto rule over votes that are coin tosses.
RULES = ("pareto", "pooled", *Track, "coin")


@dataclass(frozen=True)
class People:
    """How many people, how many questions to each, and their seed: nobody of one seed is in another."""

    count: int
    each: int
    seed: int

    def draw(self, folder: Path, split: Split) -> list[Question]:
        """Draw them into a folder, with their questions."""
        return draw_questions(folder, split, people=self.count, each=self.each, seed=self.seed)


#: Whom the pairs show, and whom the comparison does. Those of seeds 17 and 18 were for choosing settings.
PAIRS, TEST = People(200, 2, 7), People(48, 2, 9)


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        name: as the table has it.
        rule: of the export, see `bench.dpo_world.choose`.
        config: what differs from the defaults of `FlowDPOConfig`.
        seed: of the training.
    """

    name: str
    rule: str
    config: Mapping[str, Any]
    seed: int = 0

    @property
    def folder(self) -> str:
        """Ending of its folders' names."""
        return f"{self.name.replace(' ', '-')}-{self.seed}"


class Bench:
    """The folder, and what all systems share."""

    def __init__(self, folder: Path, pairs: People = PAIRS, test: People = TEST) -> None:
        """Name the folder and the people; nothing is computed yet."""
        self.folder, self.pairs, self.test = folder.resolve(), pairs, test
        self.wall_s: dict[str, float] = {}

    def prepare(self) -> None:
        """Draw the people, sample the pairs, judge and export them."""
        self.questions = self.pairs.draw(self.folder / "people-pairs", "train")
        self.held_out = self.test.draw(self.folder / "people-test", "eval")
        self.videos = self.sample("sample", sample_items(self.questions, pair_seeds))
        self.before = self.sample("before", sample_items(self.held_out, lambda number: SEEDS))
        scores = score_pairs(self.questions, self.videos)
        self.truths = [truth_of(one) for one in scores]
        self.judged, self.tossed = judge(scores), judge(scores, annotators=COINS)
        for rule in RULES:
            self.export(rule)

    def sample(self, name: str, items: Sequence[Mapping[str, Any]]) -> Videos:
        """Videos of the supervised model; several processes share the work, and pairs stay together."""
        size = 2 * -(-len(items) // (2 * PROCESSES))
        runs = side_by_side(
            partial(
                self.run,
                "generator.sample",
                f"{name}-{number}",
                {
                    "stage": "sample",
                    "model": MODEL,
                    "settings": SETTINGS,
                    "samples": list(items[number * size : (number + 1) * size]),
                },
            )
            for number in range(PROCESSES)
        )
        made = [(run, item) for run in runs for item in run.read_result()["samples"]]
        return {item["sample_id"]: run.path / item["path"] for run, item in made}

    def votes(self, rule: str) -> tuple[list[dict[Track, Consensus]], str]:
        """Whose votes a rule of this benchmark is about, and how it chooses by them."""
        return (self.tossed, "pareto") if rule == "coin" else (self.judged, rule)

    def export(self, rule: str) -> Path:
        """The frozen set of a rule."""
        folder = self.folder / f"export-{rule}"
        if not folder.exists():
            votes, chooses = self.votes(rule)
            rows = list(export_rows(self.questions, self.videos, votes, chooses))
            write_export(folder, rows, joint_states={rule: len(rows)}, rule_version=RULE_VERSION)
        return folder

    def train(self, system: System) -> RunDir:
        """Flow-DPO on a set; encoded pairs are shared by all runs."""
        request = {
            "stage": "dpo",
            "model": MODEL,
            "export": str(self.export(system.rule)),
            "cache": str(self.folder / "cache"),
            "config": {**system.config, "seed": system.seed},
        }
        return self.run("rlhf.dpo", f"dpo-{system.folder}", request)

    def evaluate(self, system: System, trained: RunDir) -> dict[str, Any]:
        """A trained adapter against the model before, whose videos are made once for all systems."""
        candidate = {**MODEL, "adapters": [*MODEL["adapters"], str(trained.path / "adapter")]}
        run = RunDir(self.folder / f"evaluate-{system.folder}")
        (run.path / "baseline").mkdir(parents=True, exist_ok=True)
        for name, video in self.before.items():
            shutil.copy(video, run.path / "baseline" / f"{name}.mp4")
        request = evaluation_request(self.held_out, MODEL, candidate, SETTINGS, SEEDS)
        result = self.run("rlhf.evaluate", run.path.name, request).read_result()
        return {str(track): result[str(track)] for track in Track}

    def row(self, system: System) -> dict[str, Any]:
        """Train and compare."""
        trained = self.train(system)
        facts = trained.read_result()
        shown = {key: facts[key] for key in ("num_pairs", "accuracy", "last_loss", "early_end")}
        named = {"system": system.name, "rule": system.rule, "seed": system.seed}
        return {**named, **shown, **self.evaluate(system, trained)}

    def run(self, command: str, name: str, request: Mapping[str, Any]) -> RunDir:
        """A run folder's command to its end, on one core; a finished folder is left as it is."""
        run = RunDir(self.folder / name)
        run.create(request)
        if not run.is_done:
            start = time.monotonic()
            one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(
                [sys.executable, "-m", command, str(run.path)], check=True, stdout=sys.stderr, env=one_core
            )
            self.wall_s[name] = round(time.monotonic() - start, 1)
        return run


def side_by_side(jobs: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    """What the jobs give, in their order; `PROCESSES` of them run at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield from pool.map(lambda job: job(), jobs)


#: What the round trains with; chosen on the people of seeds 17 and 18.
CONFIG: Mapping[str, Any] = {"steps": 200, "beta": 30.0, "max_excess": 1.0}
#: In the order in which they are worth having, should the time run out.
SYSTEMS = (
    *(System("the round", "pareto", CONFIG, seed) for seed in (0, 1, 2)),
    System("no guard", "pareto", {**CONFIG, "guard": "none"}),
    System("no Pareto rule", "pooled", CONFIG),
    System("identity votes only", "identity", CONFIG),
    System("controllability votes only", "controllability", CONFIG),
    *(System("coin tosses", "coin", CONFIG, seed) for seed in (0, 1, 2)),
    System("an early end", "pareto", {**CONFIG, "max_excess": FlowDPOConfig().max_excess}),
    *(System(f"beta {beta}", "pareto", {**CONFIG, "beta": float(beta)}) for beta in (100, 250, 1000)),
)


def describe_pairs(bench: Bench) -> dict[str, Any]:
    """How many pairs each rule prefers something in, and in how many of those the oracle does, too."""
    found = {}
    for rule in RULES:
        votes, chooses = bench.votes(rule)
        sides = [choose(judged, chooses) for judged in votes]
        best = [(SIDES[side], truth) for side, truth in zip(sides, bench.truths, strict=True) if side]
        right = sum(all(truth[track] == side for track in Track) for side, truth in best)
        found[str(rule)] = {"pairs": len(best), "better_on_both": right}
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: of each track the win rate with its interval, and by how many nats the mean rose."""
    head = "| | seed | pairs | training accuracy | identity | controllability |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *map(_line, rows)])


def _line(row: Mapping[str, Any]) -> str:
    cell = "{win_rate:.2f} [{low:.2f}, {high:.2f}], {gain:+.2f}"
    figures = [row["system"], str(row["seed"]), str(row["num_pairs"]), f"{row['accuracy']:.2f}"]
    return f"| {' | '.join([*figures, *(cell.format(**row[str(track)]) for track in Track)])} |"


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Win rates of both tracks with their intervals; the dashed line is no difference."""
    shown = [
        (
            f"{row['system']}, seed {row['seed']}",
            [Interval(*(row[str(track)][name] for name in ("win_rate", "low", "high"))) for track in Track],
        )
        for row in rows
    ]
    return forest("Flow-DPO against its parent: win rates", [str(track) for track in Track], 0.5, shown)


def main(folder: Path = FOLDER) -> None:
    """Everything, written again after each row: what was stopped is a shorter table, not a lost one."""
    start, bench = time.monotonic(), Bench(folder)
    bench.prepare()
    facts: dict[str, Any] = {
        "machine": machine(),
        "settings": SETTINGS,
        "config": dict(CONFIG),
        "pairs": describe_pairs(bench),
        "rows": [],
        "wall_s": bench.wall_s,
    }
    print(json.dumps(facts["pairs"]))
    for row in side_by_side(partial(bench.row, system) for system in SYSTEMS):
        facts["rows"].append(row)
        facts["total_s"] = round(time.monotonic() - start)
        print(f"{_line(row)} {facts['total_s']} s", flush=True)
        Path("bench/results/dpo_round.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        Path("docs/dpo.svg").write_text(plot(facts["rows"]), encoding="utf-8")
    print(table(facts["rows"]))


if __name__ == "__main__":
    main()
