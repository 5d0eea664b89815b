"""Flow-DPO on an exported set: `python -m rlhf.dpo RUNDIR [--attached]`.

    request.json    {"stage": "dpo", "model": {"base", "adapters"}, "export": folder, "config": FlowDPOConfig,
                    "cache": folder}; several runs may name one cache, and each has its own without
    metrics.jsonl   one line a step; at intervals with figures on people who are held out
    cache/          latents, references and prompts of each pair, encoded once; in bank/, errors of the frozen
                    policy, one file for each set of draws
    samples/        clips of a few pairs' inputs at intervals, where the config asks for them; those of step 0
                    are the parent's
    checkpoints/    adapter, its average and optimizer; a run that was killed goes on from the newest one
    adapter/        pytorch_lora_weights.safetensors, as Diffusers reads it: the average; where the run ended
                    early, that of its best evaluation pass
    result.json     adapter hash and closing figures

SIGTERM ends the run after the step under way, with a checkpoint; starting the command again resumes it. For
several devices: `accelerate launch -m rlhf.dpo RUNDIR`; with `branch_parallel`, two of them share each pair,
and with `sharded` all of them share the frozen weights.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import LoraConfig

from generator.adapter_files import COMFYUI_FILE
from generator.frozen_set import FrozenSetError
from generator.records import SamplerSettings
from generator.rundir import RunDir, RunError
from rlhf.dpo.branch_parallel import Partner
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.held_out import NUM_PROBES, SEED, HeldOut, split_by_identity
from rlhf.dpo.latents import CachedPairs, cache_pairs, empty_condition
from rlhf.dpo.policy import FlowPolicy
from rlhf.dpo.reference import identify, open_bank
from rlhf.dpo.trainer import FlowDPOTrainer
from rlhf.export.freezing import Export, read_export
from rlhf.export.row import ExportRow
from rlhf.training import processes
from rlhf.training.command import adapt, expect_read, load, mean_at_end, train_and_sample
from rlhf.training.draws import PairDraws, Tensors
from rlhf.training.instances import TrainingInstance, target_settings
from rlhf.training.lora import save_adapter
from rlhf.training.sharding import shard
from rlhf.training.sigterm import Stop

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """What a run trains on and watches."""

    train: CachedPairs  # pairs that are trained on
    weights: list[float] | None  # of their gradients, 1 on average; None for 1 each
    held_out: CachedPairs  # pairs of people who are held out
    num_identities: tuple[int, int]  # of trained and held-out people
    probes: Sequence[Tensors]  # see `rlhf.dpo.held_out.HeldOut`


def main(run: RunDir, attached: bool) -> None:
    """Train, or go on training, what the run folder asks for.

    Raises:
        RunError: the request cannot be fulfilled; the message names the value.
        SystemExit: stopped by SIGTERM (status 143).
    """
    with processes.hold(run, attached=attached) as request, Stop.on_sigterm() as stop:
        if processes.of_main(run.is_done):
            return
        try:
            config = FlowDPOConfig.from_json(request.get("config", {}))
            folder, model = run.resolve(request["export"]), request["model"]
        except KeyError as missing:
            raise RunError(f"{run.path / 'request.json'} has no {missing}") from None
        partner = Partner() if config.branch_parallel else None
        export = _open_export(folder)
        pipeline, config, precision = load(run, model, config)
        if processes.is_main():
            print(explain_beta(config.beta), flush=True)
        cache = run.resolve(request.get("cache", "cache"))
        rows = list(export.rows())
        prompts = [(f"pair {row.pair_id}", row.differential_prompt) for row in rows]
        expect_read(pipeline, prompts, "export the round again, which leaves such pairs out")
        data = prepare(pipeline, rows, config, cache, stop)
        transformer, save = pipeline.transformer, type(pipeline).save_lora_weights
        del pipeline  # VAE and text encoder have done their work
        trainer, lora = make_trainer(run, transformer, config, data, stop, cache / "bank", partner)
        train_and_sample(run, trainer, stop, config, model, to_show(rows, config))
        result_step = trainer.roll_back()
        if processes.is_main():
            with trainer.average.in_place():
                trained = save_adapter(run.path / "adapter", transformer, lora, save)
            add_comfyui(run.path / "adapter")
            figures = _figures(run, config, data, trainer.early_end, result_step)
            run.write_result({**trained, **figures, "precision": precision.to_json()})


def add_comfyui(adapter: Path) -> None:
    """Put ComfyUI's form of an adapter beside it; where a layer has no name there, say so and go on."""
    from generator.model.lora import convert  # with Diffusers, which a run loads with its model

    try:
        convert(adapter, adapter / COMFYUI_FILE)
    except ValueError as error:
        logger.warning("the adapter has no form for ComfyUI: %s", error)


def prepare(
    pipeline: AnyIDPipeline, rows: list[ExportRow], config: FlowDPOConfig, cache: Path, stop: Stop
) -> Data:
    """Encode every pair once and part them by identity."""
    pairs = cache_pairs(pipeline, rows, cache, on_pair=lambda done: stop.leave_if_requested())
    is_held = split_by_identity([row.id_group for row in rows], config.held_out)
    trained = [row for row, held in zip(rows, is_held, strict=True) if not held]
    held = [row for row, held in zip(rows, is_held, strict=True) if held]
    train, watched = pairs.where([not held for held in is_held]), pairs.where(is_held)
    draws = PairDraws(watched or train, replace(config, seed=SEED), NUM_PROBES)
    probes = [{**draws[index], **empty_condition(pipeline, draws[index])} for index in range(NUM_PROBES)]
    return Data(
        train=train,
        weights=posterior_weights(trained) if config.pair_weighting == "posterior" else None,
        held_out=watched,
        num_identities=(len({row.id_group for row in trained}), len({row.id_group for row in held})),
        probes=probes,
    )


def make_trainer(
    run: RunDir,
    transformer: Any,
    config: FlowDPOConfig,
    data: Data,
    stop: Stop,
    banks: Path,
    partner: Partner | None,
) -> tuple[FlowDPOTrainer, LoraConfig]:
    """The trainer around a transformer with a new adapter, and the adapter's configuration."""
    lora = adapt(transformer, config)
    guard_mu = config.guard_mu if config.guard == "sdpo" else None
    policy = FlowPolicy(
        transformer, guard_mu=guard_mu, split_branches=config.split_branches or partner is not None
    )
    bank, held_bank, frozen = None, None, identify(policy)
    if config.sharded:
        shard(policy)
    if config.draws_per_pair:
        bank = open_bank(banks, config, frozen, data.train.keys, config.draws_per_pair)
    if data.held_out:
        held_bank = open_bank(banks, config, frozen, data.held_out.keys, config.time_strata)
    trainer = FlowDPOTrainer(
        policy,
        config,
        data.train,
        run.path / "checkpoints",
        on_step=run.append_metrics,
        weights=data.weights,
        bank=bank,
        held_out=HeldOut(data.held_out, config, bank=held_bank, probes=data.probes),
        partner=partner,
        callbacks=[stop],
    )
    trainer.check_banks()
    return trainer, lora


def posterior_weights(rows: Sequence[ExportRow]) -> list[float]:
    """How sure the votes of each pair are, against the average."""
    sure = [row.certainty for row in rows]
    return [value * len(sure) / sum(sure) for value in sure]


def to_show(
    rows: Sequence[ExportRow], config: FlowDPOConfig
) -> list[tuple[TrainingInstance, SamplerSettings]]:
    """Inputs of pairs to make clips of, at the size of their videos; people who are held out come first."""
    held = split_by_identity([row.id_group for row in rows], config.held_out)
    ordered = sorted(zip(rows, held, strict=True), key=lambda item: not item[1])
    shown = [
        TrainingInstance(
            instance_id=str(row.pair_id),
            prompt=row.differential_prompt,
            references=tuple((reference.file.path, reference.kind) for reference in row.references),
            target=row.chosen.file.path,
            id_group=row.id_group,
        )
        for row, _ in ordered[: config.sample_count if config.sample_every else 0]
    ]
    return [(instance, target_settings(instance.target)) for instance in shown]


def explain_beta(beta: float) -> str:
    """Beta in both conventions, in one line."""
    return f"beta {beta:g}; Flow-DPO and Diffusion-DPO, which write beta / 2, would call it {2 * beta:g}"


def _open_export(folder: Path) -> Export:
    """Verify the export before anything costly begins."""
    try:
        export = read_export(folder)
    except FrozenSetError as error:
        raise RunError(str(error)) from None
    if not export.manifest.num_pairs:
        raise RunError(f"{folder} holds no pair; collect more votes")
    return export


def _figures(
    run: RunDir, config: FlowDPOConfig, data: Data, early_end: str | None, result_step: int
) -> dict[str, Any]:
    """Closing figures."""
    lines = run.read_metrics()
    judged = next(line for line in lines if line["step"] == result_step)
    watched = ("held_out/", "drift/empty")
    return {
        "first_loss": lines[0]["loss"],
        "last_loss": mean_at_end(lines, "loss"),
        "accuracy": mean_at_end(lines, "rewards/accuracies"),
        "steps": lines[-1]["step"],
        "early_end": early_end,
        "result_step": result_step,
        "num_pairs": len(data.train),
        "num_held_out_pairs": len(data.held_out),
        "num_identities": data.num_identities[0],
        "num_held_out_identities": data.num_identities[1],
        "beta": config.beta,
        "beta_of_flow_dpo": 2 * config.beta,
        "held_out": {name: value for name, value in judged.items() if name.startswith(watched)},
    }
