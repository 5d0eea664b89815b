"""Flow-DPO on an exported set: `python -m rlhf.dpo RUNDIR [--attached]`.

    request.json    {"stage": "dpo", "model": {"base", "adapters"}, "export": folder, "config": FlowDPOConfig}
    metrics.jsonl   one line a step
    cache/          latents, references and prompts of each pair, encoded once
    checkpoints/    adapter and optimizer; a run that was killed goes on from the newest complete one
    adapter/        pytorch_lora_weights.safetensors, as Diffusers reads it
    result.json     adapter hash and closing figures

SIGTERM ends the run after the step under way, with a checkpoint; starting the command again resumes it. For
several devices: `accelerate launch -m rlhf.dpo RUNDIR`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from generator.media import file_sha256
from generator.rundir import RunDir, RunError, run_command
from generator.sample import load_model
from rlhf import processes
from rlhf.dpo_config import FlowDPOConfig
from rlhf.dpo_trainer import FlowDPOTrainer
from rlhf.export import Export, ExportError, read_export
from rlhf.latents import cache_pairs
from rlhf.lora import ADAPTER_FILE, add_adapter, save_adapter
from rlhf.policy import FlowPolicy
from rlhf.run_trainer import train
from rlhf.sigterm import Stop


def main(run: RunDir, attached: bool) -> None:
    """Train, or go on training, what the run folder asks for.

    Raises:
        RunError: the request cannot be fulfilled; the message names the value.
        SystemExit: stopped by SIGTERM (status 143).
    """
    with processes.hold(run, attached=attached) as request, Stop.on_sigterm() as stop:
        if run.is_done:
            return
        try:
            config = FlowDPOConfig.from_json(request.get("config", {}))
            folder, model = run.resolve(request["export"]), request["model"]
        except KeyError as missing:
            raise RunError(f"{run.path / 'request.json'} has no {missing}") from None
        export = _open_export(folder)
        pipeline = load_model(run, model)
        pairs = cache_pairs(
            pipeline, export.rows(), run.path / "cache", on_pair=lambda done: stop.leave_if_requested()
        )
        transformer, save = pipeline.transformer, type(pipeline).save_lora_weights
        del pipeline  # VAE and text encoder have done their work
        lora = add_adapter(
            transformer, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed
        )
        if config.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        policy = FlowPolicy(transformer, guard_mu=config.guard_mu if config.guard == "sdpo" else None)
        trainer = FlowDPOTrainer(
            policy,
            config,
            pairs,
            run.path / "checkpoints",
            on_step=run.append_metrics,
            callbacks=[stop],
        )
        train(run, trainer, stop)
        if processes.is_main():
            save_adapter(run.path / "adapter", transformer, lora, save)
            run.write_result(_result(run, config, len(pairs)))


def _open_export(folder: Path) -> Export:
    """Verify the export before anything costly begins."""
    try:
        export = read_export(folder)
    except ExportError as error:
        raise RunError(str(error)) from None
    if not export.manifest.num_pairs:
        raise RunError(f"{folder} holds no pair; collect more votes")
    return export


def _result(run: RunDir, config: FlowDPOConfig, num_pairs: int) -> dict[str, Any]:
    """Closing figures; the last loss and the accuracy are means over the last tenth of the steps."""
    lines = run.read_metrics()
    last = lines[-max(1, len(lines) // 10) :]
    return {
        "adapter": "adapter",
        "adapter_sha256": file_sha256(run.path / "adapter" / ADAPTER_FILE),
        "first_loss": lines[0]["loss"],
        "last_loss": sum(line["loss"] for line in last) / len(last),
        "accuracy": sum(line["rewards/accuracies"] for line in last) / len(last),
        "steps": config.steps,
        "num_pairs": num_pairs,
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
