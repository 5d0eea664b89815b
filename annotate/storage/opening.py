"""Opening a storage by its address."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from annotate.storage.address import Address
from annotate.storage.backends import backend_of
from annotate.storage.interface import Storage


def site_storage() -> Storage:
    """The storage of this site."""
    return open_storage(settings.STORAGE)


# A bucket's connections are kept from one request to the next. They cannot cross a fork, so nothing may ask a
# bucket for anything where a server or a worker is only about to start its processes, such as in a check.
@lru_cache(maxsize=16)
def open_storage(address: Address) -> Storage:
    """The storage at an address; nothing is asked of it yet."""
    return backend_of(address, settings)
