from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.management.loop_command import WAIT, LoopCommand, argument, chosen_model, send_run
from annotate.models import ModelKind
from annotate.registry.queries import version_found_by
from annotate.registry.registration import BASE_KINDS, queue_adapter, queue_base


class Command(LoopCommand):
    help = "Have a worker look at weights that were made elsewhere, and register them as a model version."
    arguments = (
        argument(
            "place",
            help="a folder in the Diffusers layout or a hub id in the workers' cache; with --on, an adapter",
        ),
        argument("--on", metavar="VERSION", help="the version that the adapter goes on"),
        argument(
            "--kind",
            choices=BASE_KINDS,
            default=ModelKind.SFT,
            help="sft of a base that takes references already (default), base of one that does not yet",
        ),
        WAIT,
    )

    def run(self, **options: Any) -> dict[str, Any]:
        place = options["place"]
        if Path(place).exists():
            place = str(Path(place).resolve())
        policy = chosen_model(options["on"])
        run = queue_adapter(place, policy) if policy else queue_base(place, options["kind"])
        send_run(run, wait=options["wait"], quiet=options["json"])
        version = version_found_by(run)
        return {
            "run": str(run),
            "version": version.name if version else "known once a worker has looked at it",
            "sha256": version.weights_sha256 if version else None,
        }
