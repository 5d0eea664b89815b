from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from annotate.management.loop_command import LoopCommand
from annotate.storage.address import read_address
from annotate.storage.copying import copy_objects
from annotate.storage.interface import Storage
from annotate.storage.opening import open_storage


class Command(LoopCommand):
    help = "Copy all files from one storage to another, by their hashes; a second run goes on."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("source", metavar="FROM", help="such as file:///srv/anyid")
        parser.add_argument("target", metavar="TO", help="such as s3://bucket/prefix?region=eu-central-1")

    def run(self, **options: Any) -> dict[str, Any]:
        source, target = (_storage(options[name]) for name in ("source", "target"))
        if source.name == target.name:
            raise ValueError(f"{source.name} is both FROM and TO; name two storages")
        with tqdm(desc="    copy", disable=options["json"], unit="B", unit_scale=True) as bar:
            copied = copy_objects(source, target, on_done=bar.update)
        if not copied.copied + copied.there_already:
            raise ValueError(f"{source.name} holds no file; look for a typing error in FROM")
        return {"from": source.name, "to": target.name, **asdict(copied)}


def _storage(address: str) -> Storage:
    """The storage at an address.

    Raises:
        ValueError: it is none.
    """
    try:
        return open_storage(read_address(address))
    except ValueError as error:
        shown = address.rpartition("@")[2].partition("?")[0]
        raise ValueError(f"{shown} cannot be used: {error}") from None
