"""A real S3 server for the tests, and places of their own in it."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid4

from annotate.storage.address import BucketAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.embedded import write_credentials
from annotate.supervisor.object_store import NUM_PORTS
from annotate.supervisor.object_store import ObjectStore as Server

CREDENTIALS = {"access_key_id": "of-the-tests", "secret_access_key": "a-secret-of-the-tests"}
BUCKET = "tests"


class ObjectStore(Server):
    """One server, its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_ports(NUM_PORTS))
        write_credentials(folder, *CREDENTIALS.values())

    def command(self, **options: str) -> list[str]:
        # Room for what tests write, however full the disk is.
        room = {"volume.minFreeSpace": "0", "volume.max": "100", "master.volumeSizeLimitMB": "64"}
        return super().command(**room, **options)

    def address(self, prefix: str = "") -> BucketAddress:
        """A place of its own in the bucket, which the first object makes."""
        return BucketAddress(
            bucket=BUCKET,
            prefix=prefix or uuid4().hex,
            endpoint=self.endpoint,
            style="path",
            timeout_s=20,
        )

    def storage(self, cache: Path, prefix: str = "") -> BucketStorage:
        return BucketStorage(self.address(prefix), CREDENTIALS, LocalCache(cache, 10**9))


def free_ports(count: int) -> list[int]:
    listening = [socket.socket() for _ in range(count)]
    for one in listening:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in listening]
    for one in listening:
        one.close()
    return found
