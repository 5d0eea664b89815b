"""A real S3 server on this machine: SeaweedFS, from the package that ships its program."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from uuid import uuid4

import requests

from annotate.storage.address import BucketAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache

CREDENTIALS = {"access_key_id": "of-the-tests", "secret_access_key": "a-secret-of-the-tests"}
#: What listens where; every one needs a port of its own.
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
BUCKET = "tests"


class ObjectStore:
    """One server, its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = free_ports(2 * len(PORTS))
        self.ports = dict(zip([name + kind for name in PORTS for kind in ("", ".grpc")], found, strict=True))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def command(self) -> list[str]:
        identity = {
            "name": "tests",
            "credentials": [
                {"accessKey": CREDENTIALS["access_key_id"], "secretKey": CREDENTIALS["secret_access_key"]}
            ],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        config = self.folder / "identities.json"
        config.write_text(json.dumps({"identities": [identity]}))
        options = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **self.ports,
            # Room for what tests write, however full the disk is.
            "volume.minFreeSpace": 0,
            "volume.max": 100,
            "master.volumeSizeLimitMB": 64,
            "s3.config": config,
            "s3.iam": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        program = Path(sys.executable).with_name("weed")
        given = [f"-{name}={value}" for name, value in options.items()]
        return [str(program), "-logtostderr", "server", "-filer", "-s3", *given]

    def is_ready(self) -> bool:
        """Whether it stores an object: its parts come up one after the other."""
        try:
            if not requests.get(f"{self.endpoint}/healthz", timeout=1).ok:
                return False
            self.storage(self.folder / "cache", "ready").put("ready", b"ready")
        except OSError:
            return False
        return True

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
