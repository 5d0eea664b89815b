from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from annotate.core.errors import RoundError
from annotate.management.loop_command import LoopCommand, send_and_maybe_wait
from annotate.models import ModelKind
from annotate.registry.queries import version_found_by
from annotate.registry.registration import BASE_KINDS, queue_adapter, queue_base
from annotate.rounds import queries


class Command(LoopCommand):
    help = "Have a worker look at weights that were made elsewhere, and register them as a model version."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "place",
            help="a folder in the Diffusers layout or a hub id in the workers' cache; with --on, an adapter",
        )
        parser.add_argument("--on", metavar="VERSION", help="the version that the adapter goes on")
        parser.add_argument(
            "--kind",
            choices=BASE_KINDS,
            default=ModelKind.SFT,
            help="sft of a base that takes references already (default), base of one that does not yet",
        )
        parser.add_argument("--wait", action="store_true", help="show progress and return when it ends")

    def run(self, **options: Any) -> dict[str, Any]:
        place = options["place"]
        if Path(place).exists():
            place = str(Path(place).resolve())
        if options["on"] is None:
            run = queue_base(place, options["kind"])
        else:
            policy = queries.find_model(options["on"])
            if policy is None:
                raise RoundError(f"no model version {options['on']!r}; known: {queries.model_names()}")
            run = queue_adapter(place, policy)
        send_and_maybe_wait(run, options)
        version = version_found_by(run)
        return {
            "run": str(run),
            "version": version.name if version else "known once a worker has looked at it",
            "sha256": version.weights_sha256 if version else None,
        }
