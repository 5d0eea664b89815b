"""Copies of a bucket's files that browsers are sent to: each for one lease, under a name that says nothing.

A copy is made anew for every lease. Of one that all leases shared, the bucket would tell the age, by which
those who judge could tell gold, which is shown again and again, from what is new.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.utils.crypto import salted_hmac

from annotate.storage.interface import Storage

#: The folder of all copies.
LEASED = "leased"
#: What is left of a copy's time is nothing by then, whatever the clocks of the site and the bucket say.
SPARE_S = 600


def leased_address(storage: Storage, path: str, name: str, seconds: int) -> str:
    """A web address of a new copy of a file, for so many seconds.

    Args:
        storage: where the file is.
        path: its key.
        name: of the lease and of the file's place in it.
        seconds: what is left of the lease.

    Raises:
        FileNotFoundError: there is no such file.
    """
    copy = f"{LEASED}/{salted_hmac('annotate.leased', name, algorithm='sha256').hexdigest()[:32]}"
    storage.copy(path, copy)
    return storage.address(copy, max(1, seconds))


def remove_leased_copies(storage: Storage) -> int:
    """Remove the copies whose lease has ended; returns how many."""
    oldest = time.time() - settings.LEASE_S - SPARE_S
    ended = [item.key for item in storage.list(LEASED) if item.modified < oldest]
    storage.remove(ended)
    return len(ended)
