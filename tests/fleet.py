"""A GPU worker as the site knows it: by what it reports."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np

from annotate.fleet.messages import Kind, Report, ShardMessage
from annotate.jobs import reports, runs, shards
from annotate.jobs.dispatch import hand_out
from annotate.models import Run, Shard
from generator.media.encoder import write_clip


def messages(most: int = 99) -> list[ShardMessage]:
    """What is sent to the broker next."""
    return list(hand_out(shards.next_shards(most)))


class FleetWorker:
    """One that was given a message."""

    def __init__(self, message: ShardMessage, name: str = "gpu-0@here") -> None:
        self.message = message
        self.header: dict[str, Any] = {
            "worker": name,
            "shard": message.shard,
            "ticket": message.ticket,
            "claim": str(uuid4()),
            "device": "a GPU",
            "software": "1",
        }

    def say(self, kind: Kind, **values: Any) -> bool:
        if kind == Kind.MADE:
            values = {"done": sum(map(self._is_up, self.ids)), **values}
        return reports.take(Report(kind=kind, **self.header | values))

    @property
    def shard(self) -> Shard:
        return Shard.objects.get(pk=self.message.shard)

    @property
    def ids(self) -> list[str]:
        request = runs.run_dir(self.shard.run).read_request()
        return [item["sample_id"] for item in request["samples"][self.message.start : self.message.stop]]

    def _is_up(self, sample_id: str) -> bool:
        return (runs.run_dir(self.shard.run).path / "samples" / f"{sample_id}.mp4").exists()

    def bring_up(self, sample_id: str, color: int = 7) -> str:
        write_video(self.shard.run, sample_id, color)
        return sample_id

    def make(self, sample_id: str) -> bool:
        return self.say(Kind.MADE, item=self.bring_up(sample_id), seconds=2.0)


def write_video(run: Run, sample_id: str, color: int = 7) -> None:
    for folder in ("samples", "shown"):
        place = runs.run_dir(run).path / folder / f"{sample_id}.mp4"
        place.parent.mkdir(exist_ok=True)
        write_clip(place, np.full((9, 64, 64, 3), color, np.uint8), 8)
