"""Does a Flow-DPO round make the model better? The whole loop on the drawn world, with its ablations.

400 pairs of 200 people, judged by simulated annotators of whom one mostly clicks left, exported by a rule,
trained on, and compared with the model before by the oracle: on people who are in neither the pairs nor the
choice of settings. Everything under `var/bench/dpo_round/` is kept, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.dpo_world import (
    SIDES,
    Question,
    choose,
    draw_questions,
    evaluation_request,
    export_rows,
    judge,
    read_truths,
    sample_request,
)
from bench.plot import COLOURS, Line, chart
from bench.timing import OUTPUT, machine
from generator.portraits.world import CHECKPOINT
from generator.records import SamplerSettings
from generator.rundir import RunDir
from rlhf.consensus import RULE_VERSION
from rlhf.export import write_export
from rlhf.records import Track

FOLDER = OUTPUT / "dpo_round"
BASE = {"base": str(CHECKPOINT), "adapters": []}
SETTINGS = asdict(SamplerSettings())
#: Of the pairs: people and questions to each.
PEOPLE, EACH = 200, 2
#: Of the comparison: people, questions to each, and videos of each question.
HELD_OUT, HELD_OUT_EACH, HELD_OUT_SEEDS = 48, 2, (0,)
#: Seeds of people: nobody of one is in another.
PAIRS, VALIDATION, TEST = 7, 8, 9


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        name: as the table has it.
        rule: of the export, see `bench.dpo_world.choose`.
        config: what differs from the defaults of `FlowDPOConfig`.
        seeds: of the training.
    """

    name: str
    rule: str
    config: Mapping[str, Any]
    seeds: Sequence[int] = (0,)


class Bench:
    """The folder, and what all arms share."""

    def __init__(self, folder: Path = FOLDER, *, settings: Mapping[str, Any] = SETTINGS) -> None:
        """Name the folder; nothing is computed yet."""
        self.folder = folder.resolve()
        self.settings = dict(settings)
        self.wall_s: dict[str, float] = {}

    def prepare(self) -> None:
        """Draw the people, sample the pairs, judge them."""
        self.questions = draw_questions(
            self.folder / "people-train", "train", people=PEOPLE, each=EACH, seed=PAIRS
        )
        self.samples = self.run(
            "generator.sample", "sample", sample_request(self.questions, BASE, self.settings)
        )
        self.truths = read_truths(self.questions, self.samples)
        self.judged = judge(self.truths)

    def held_out(self, seed: int, people: int = HELD_OUT, each: int = HELD_OUT_EACH) -> list[Question]:
        """Questions to people of the eval split."""
        return draw_questions(self.folder / f"people-{seed}", "eval", people=people, each=each, seed=seed)

    def export(self, rule: str) -> Path:
        """The frozen set of a rule."""
        folder = self.folder / f"export-{rule}"
        if not folder.exists():
            rows = list(export_rows(self.questions, self.samples, self.judged, rule))
            write_export(folder, rows, joint_states={rule: len(rows)}, rule_version=RULE_VERSION)
        return folder

    def train(self, name: str, rule: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Flow-DPO on a rule's set; encoded pairs are shared by all runs on it."""
        run = RunDir(self.folder / f"dpo-{name}")
        request = {
            "stage": "dpo",
            "model": BASE,
            "export": str(self.export(rule)),
            "cache": str(self.folder / f"cache-{rule}"),
            "config": dict(config),
        }
        return self.run("rlhf.dpo", f"dpo-{name}", request).read_result() | {"folder": str(run.path)}

    def evaluate(
        self, name: str, questions: Sequence[Question], seeds: Sequence[int], of: str
    ) -> dict[str, Any]:
        """A trained adapter against the model before, whose videos are made once for each set of people."""
        candidate = {**BASE, "adapters": [str(self.folder / f"dpo-{name}" / "adapter")]}
        run = RunDir(self.folder / f"evaluate-{of}-{name}")
        shared = self.folder / f"baseline-{of}"
        if shared.exists() and not (run.path / "baseline").exists():
            shutil.copytree(shared, run.path / "baseline")
        request = evaluation_request(questions, BASE, candidate, self.settings, seeds)
        result = self.run("rlhf.evaluate", run.path.name, request).read_result()
        if not shared.exists():
            shutil.copytree(run.path / "baseline", shared)
        return {str(track): result[str(track)] for track in Track}

    def run(self, command: str, name: str, request: Mapping[str, Any]) -> RunDir:
        """A run folder's command to its end; a finished folder is left as it is."""
        run = RunDir(self.folder / name)
        run.create(request)
        if not run.is_done:
            start = time.monotonic()
            subprocess.run([sys.executable, "-m", command, str(run.path)], check=True, stdout=sys.stderr)
            self.wall_s[name] = round(time.monotonic() - start, 1)
        return run


#: What the round trains with; chosen on the validation people, whom the table does not use.
CONFIG: Mapping[str, Any] = {"steps": 100, "learning_rate": 5e-5, "guard": "none"}
#: In the order in which they are worth having, should the time run out.
ARMS = (
    Arm("the round", "pareto", CONFIG, seeds=(0, 1, 2)),
    Arm("with the guard", "pareto", {**CONFIG, "guard": "sdpo"}),
    Arm("no Pareto rule", "pooled", CONFIG),
    Arm("identity votes only", "identity", CONFIG),
    Arm("controllability votes only", "controllability", CONFIG),
    *(Arm(f"beta {beta}", "pareto", {**CONFIG, "beta": float(beta)}) for beta in (30, 100, 1000, 4000)),
)


def measure(bench: Bench, arms: Sequence[Arm] = ARMS) -> Iterator[dict[str, Any]]:
    """One row an arm and seed."""
    questions = bench.held_out(TEST)
    for arm in arms:
        for seed in arm.seeds:
            name = f"{arm.name.replace(' ', '-')}-{seed}"
            trained = bench.train(name, arm.rule, {**arm.config, "seed": seed})
            compared = bench.evaluate(name, questions, HELD_OUT_SEEDS, "test")
            shown = {key: trained[key] for key in ("num_pairs", "accuracy", "last_loss", "early_end")}
            yield {"arm": arm.name, "rule": arm.rule, "seed": seed, **shown, **compared}


def describe_pairs(bench: Bench) -> dict[str, Any]:
    """How many pairs each rule prefers something in, and in how many of those the oracle does, too."""
    found = {}
    for rule in ("pareto", "pooled", *Track):
        sides = [choose(judged, rule) for judged in bench.judged]
        best = [(SIDES[side], truth) for side, truth in zip(sides, bench.truths, strict=True) if side]
        right = sum(all(truth[track] == side for track in Track) for side, truth in best)
        found[str(rule)] = {"pairs": len(best), "better_on_both": right}
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    head = "| | seed | pairs | training accuracy | identity | controllability |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *map(_line, rows)])


def _line(row: Mapping[str, Any]) -> str:
    cells = ["{win_rate:.2f} [{low:.2f}, {high:.2f}]".format(**row[str(track)]) for track in Track]
    return (
        f"| {row['arm']} | {row['seed']} | {row['num_pairs']} | {row['accuracy']:.2f} | {' | '.join(cells)} |"
    )


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Win rates of both tracks, an arm beside the other; the dashed line is no difference."""
    across = [float(number) for number in range(max(2, len(rows)))]
    lines = [
        Line(
            str(track),
            [(x, row[str(track)]["win_rate"]) for x, row in zip(across, rows, strict=False)],
            colour,
        )
        for track, colour in zip(Track, COLOURS, strict=False)
    ]
    even = Line("no difference", [(across[0], 0.5), (across[-1], 0.5)], COLOURS[2], is_dashed=True)
    ticks = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    return chart(
        "Flow-DPO against its parent", ("row of the table", "win rate"), across, ticks, [*lines, even]
    )


def main(folder: Path = FOLDER) -> None:
    """Everything, written again after each row: what was stopped is a shorter table, not a lost one."""
    bench = Bench(folder)
    bench.prepare()
    facts: dict[str, Any] = {
        "machine": machine(),
        "config": dict(CONFIG),
        "pairs": describe_pairs(bench),
        "rows": [],
        "wall_s": bench.wall_s,
    }
    print(json.dumps(facts["pairs"]))
    for row in measure(bench):
        facts["rows"].append(row)
        print(_line(row), flush=True)
        Path("bench/results/dpo_round.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        Path("docs/dpo.svg").write_text(plot(facts["rows"]), encoding="utf-8")
    print(table(facts["rows"]))


if __name__ == "__main__":
    main()
