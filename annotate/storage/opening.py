"""Opening a storage by its address."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from annotate.storage.address import Address, FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import Storage


def site_storage() -> Storage:
    """The storage of this site."""
    return open_storage(settings.STORAGE)


# A bucket's connections are kept from one request to the next. They cannot cross a fork, so nothing may ask a
# bucket for anything where a server or a worker is only about to start its processes, such as in a check.
@lru_cache(maxsize=16)
def open_storage(address: Address) -> Storage:
    """The storage at an address; nothing is asked of it yet."""
    if isinstance(address, FolderAddress):
        return FolderStorage(address)
    cache = LocalCache(settings.VAR_DIR / "cache", settings.STORAGE_CACHE_GB * 10**9)
    credentials = {name: value for name, value in settings.STORAGE_CREDENTIALS.items() if value}
    return BucketStorage(address, credentials, cache)
