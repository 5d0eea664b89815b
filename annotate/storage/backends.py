"""Which storage an address means, for processes with Django and without."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from annotate.storage.address import Address, FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import Storage


class StorageSettings(Protocol):
    """What a bucket needs beside its address."""

    VAR_DIR: Path
    STORAGE_CACHE_GB: int
    STORAGE_CREDENTIALS: dict[str, str]


def backend_of(address: Address, settings: StorageSettings) -> Storage:
    """The storage at an address; nothing is asked of it yet."""
    if isinstance(address, FolderAddress):
        return FolderStorage(address)
    cache = LocalCache(settings.VAR_DIR / "cache", settings.STORAGE_CACHE_GB * 10**9)
    credentials = {name: value for name, value in settings.STORAGE_CREDENTIALS.items() if value}
    return BucketStorage(address, credentials, cache)
