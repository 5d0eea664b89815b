"""How fast and how large a Flow-DPO step is, beside the straightforward way (`bench/straightforward_dpo.py`).

Both train the shipped checkpoint with the same draws, adapter and optimizer on the same files; that they do
is checked first, on the losses of twenty steps. Then they take turns, a short run each. `ours_s` is a step
from the second pass over the draws on, when the bank knows the frozen policy's errors; `first_s` is one of
the first pass, which asks for them. Ours also keeps a moving average, writes a checkpoint and has
transformers' loop around it. Encoding every file once, before the first step, is `encode_s` a pair.
`split_mib` is with `split_branches`, `recomputed_mib` with gradient checkpointing on top; weights mapped from
files are in no figure.

`autograd` is what the straightforward way lets autograd follow: `everything`, or only what is `needed`.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from bench.memory import peak_bytes
from bench.straightforward_dpo import Layout, StraightforwardDPO
from bench.timing import median_interval, quartiles, report
from generator.frozen_set import MediaFile
from generator.media.encoder import write_clip
from generator.model.checkpoint import load_pipeline
from generator.portraits.people import Item, plan_person
from generator.portraits.world import CHECKPOINT, SPLIT_SEEDS, draw_identity, phrase_change
from generator.records import ReferenceKind
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.latents import cache_pairs
from rlhf.dpo.policy import FlowPolicy
from rlhf.dpo.reference import identify, open_bank
from rlhf.dpo.trainer import FlowDPOTrainer
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.records import Track, Verdict
from rlhf.training.draws import PairDraws
from rlhf.training.lora import add_adapter
from rlhf.training.precision import set_up
from rlhf.votes.consensus import resolve_track

CLIP, PHOTO = ReferenceKind.CLIP, ReferenceKind.PHOTO
#: Losses of the steps, and the seconds that all of them took.
Run = tuple[list[float], float]
BATCH, PAIRS = 4, 10
#: Steps whose losses are compared, and steps of a run that is timed.
STEPS, TIMED_STEPS, ROUNDS = 20, 6, 4
#: Losses of both ways may differ by so much at any step.
TOLERANCE = 1e-4
#: Steps of the runs whose memory is counted: the first makes the optimizer's state.
MEASURED_STEPS = 2


@dataclass(frozen=True)
class Case:
    """What both ways train on, and what the straightforward one lets autograd follow."""

    references: str
    autograd: str


REFERENCES = {"1 still": (PHOTO,), "3 stills": (PHOTO,) * 3, "2 stills, 1 clip": (PHOTO, PHOTO, CLIP)}
CASES = (
    Case("1 still", "everything"),
    Case("3 stills", "everything"),
    Case("1 still", "needed"),
    Case("3 stills", "needed"),
    Case("2 stills, 1 clip", "needed"),
)


def main() -> None:
    measure(CHECKPOINT)


def measure(
    checkpoint: Path,
    *,
    steps: int = STEPS,
    timed_steps: int = TIMED_STEPS,
    rounds: int = ROUNDS,
    cases: Sequence[Case] = CASES,
) -> Path:
    """Check and time every case; prints the table and gives the JSON's place."""
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            duel = Duel(checkpoint, Path(folder), case, steps)
            row = {"references": case.references, "autograd": case.autograd, "encode_s": duel.encode_s}
            rows.append(row | duel.compare() | duel.time(timed_steps, rounds) | duel.count_memory())
    return report(
        "dpo_step", rows, steps=steps, timed_steps=timed_steps, rounds=rounds, batch_size=BATCH, pairs=PAIRS
    )


class Duel:
    """Both ways on one case.

    Args:
        checkpoint: in the Diffusers layout.
        folder: for files, caches and checkpoints.
        case: see `Case`.
        steps: of the longest run; its draws are all distinct.
    """

    def __init__(self, checkpoint: Path, folder: Path, case: Case, steps: int) -> None:
        self.checkpoint, self.folder, self.case = checkpoint, folder, case
        passes = -(-steps * BATCH // PAIRS)
        self.config = FlowDPOConfig(
            steps=steps,
            batch_size=BATCH,
            warmup_steps=0,
            guard="none",
            save_every=steps,
            draws_per_pair=-(-passes // 4) * 4,
        )
        self.rows = list(draw_pairs(folder / "media", REFERENCES[case.references]))
        pipeline = load_pipeline(checkpoint)
        self.layout = Layout(
            position=pipeline.transformer.config.reference_position,
            order=pipeline.config.reference_order,
            prompt_tokens=pipeline.config.max_sequence_length,
        )
        start = time.perf_counter()
        self.pairs = cache_pairs(pipeline, self.rows, folder / "cache")
        self.encode_s = (time.perf_counter() - start) / PAIRS
        self._runs = 0

    def compare(self) -> dict[str, float]:
        """The largest difference of the losses; afterwards the bank knows every draw.

        Raises:
            RuntimeError: they are not the same training.
        """
        losses, asked = self.ours(), self.ours(split_branches=True)
        theirs = self.theirs()
        difference = max(
            abs(a - b) for each in (losses, asked) for a, b in zip(each[0], theirs[0], strict=True)
        )
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{self.case}: losses differ by {difference:.2g}, so times say nothing")
        return {"max_difference": difference}

    def time(self, steps: int, rounds: int) -> dict[str, Any]:
        """Seconds a step, in turns: ours, theirs, theirs, ours."""
        fast, slow, first = [], [], []
        for _ in range(rounds):
            a, b, c, d = self.ours(steps), self.theirs(steps), self.theirs(steps), self.ours(steps)
            fast.append((a[1] + d[1]) / 2)
            slow.append((b[1] + c[1]) / 2)
            first.append(self.ours(steps, fresh=True)[1])
        ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(fast, slow, strict=True)]
        low, _, high = quartiles(ratios)
        return {
            "ours_s": median(fast) / steps,
            "first_s": median(first) / steps,
            "straightforward_s": median(slow) / steps,
            "times_faster": median(ratios),
            "quartiles": [low, high],
            "interval_95": list(median_interval(ratios)),
        }

    def count_memory(self) -> dict[str, float]:
        """The most MiB of tensors that live at once, and ours as a share of theirs."""
        steps = MEASURED_STEPS
        works: dict[str, Callable[[], object]] = {
            "ours": lambda: self.ours(steps),
            "split": lambda: self.ours(steps, split_branches=True),
            "recomputed": lambda: self.ours(steps, split_branches=True, gradient_checkpointing=True),
            "straightforward": lambda: self.theirs(steps),
        }
        peaks = {f"{name}_mib": peak_bytes(work) / 2**20 for name, work in works.items()}
        theirs = peaks["straightforward_mib"]
        return {
            **peaks,
            "memory_share": peaks["ours_mib"] / theirs,
            "split_share": peaks["split_mib"] / theirs,
        }

    def ours(self, steps: int | None = None, *, fresh: bool = False, **changes: Any) -> Run:
        """A run of our trainer.

        Args:
            steps: all where None.
            fresh: with an empty bank.
            **changes: of the configuration.
        """
        config = replace(self.config, steps=steps or self.config.steps, **changes)
        transformer = load_pipeline(self.checkpoint).transformer
        add_adapter(
            transformer, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed
        )
        set_up(transformer, config)
        policy = FlowPolicy(transformer, split_branches=config.split_branches)
        self._runs += 1
        banks = self.folder / (f"bank-{self._runs}" if fresh else "bank")
        bank = open_bank(banks, config, identify(policy), self.pairs.keys, config.draws_per_pair)
        losses: list[float] = []
        trainer = FlowDPOTrainer(
            policy,
            config,
            self.pairs,
            self.folder / f"run-{self._runs}",
            on_step=lambda line: losses.append(line["loss"]),
            bank=bank,
        )
        start = time.perf_counter()
        trainer.train()
        return losses, time.perf_counter() - start

    def theirs(self, steps: int | None = None) -> Run:
        """A run of the straightforward trainer; all steps where None."""
        everywhere = self.case.autograd == "everything"
        trainer = StraightforwardDPO(self.checkpoint, self.config, self.layout, everywhere=everywhere)
        steps = steps or self.config.steps
        draws = PairDraws(self.pairs, self.config, steps * BATCH, distinct=self.config.draws_per_pair)
        losses, taken = [], 0.0
        for step in range(steps):
            batch = [draws[step * BATCH + place] for place in range(BATCH)]
            rows = [self.rows[int(one["entry"]) % PAIRS] for one in batch]
            noise, times = (torch.stack([one[name] for one in batch]) for name in ("noise", "time"))
            start = time.perf_counter()
            losses.append(trainer.step(rows, noise, times))
            taken += time.perf_counter() - start
        return losses, taken


def draw_pairs(folder: Path, kinds: Sequence[ReferenceKind]) -> Iterator[ExportRow]:
    """Pairs of drawn people: chosen is the person, rejected somebody else in the same clothes."""
    folder.mkdir(parents=True)
    votes = TrackVotes.from_consensus(resolve_track([Verdict.FIRST], 1))
    for number in range(PAIRS):
        person = SPLIT_SEEDS["benchmark"] + number
        items = plan_person(person)
        by_kind = {kind: iter([item for item in items[1:] if item.kind is kind]) for kind in kinds}
        shown = [next(by_kind[kind]) for kind in kinds]
        yield ExportRow(
            pair_id=number,
            id_group=f"person {number}",
            references=tuple(
                ExportReference(_write(folder / f"r{number}-{place}", item, person), item.kind)
                for place, item in enumerate(shown)
            ),
            differential_prompt=phrase_change("clothing", items[0].elements["clothing"], 0),
            elements=(),
            chosen=ExportSample(_write(folder / f"c{number}", items[0], person), 1),
            rejected=ExportSample(_write(folder / f"j{number}", items[0], person + 1000), 2),
            tracks=dict.fromkeys(Track, votes),
            model_version="drawn",
            licence="CC0-1.0",
        )


def _write(path: Path, item: Item, person: int) -> MediaFile:
    frames = item.render(draw_identity(person))
    if item.kind is CLIP:
        path = path.with_suffix(".mp4")
        write_clip(path, frames, 8)
    else:
        path = path.with_suffix(".png")
        Image.fromarray(frames[0]).save(path)
    return MediaFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
