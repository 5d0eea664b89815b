"""Stored files for those who write frozen sets, which know files of this machine alone."""

from __future__ import annotations

from contextlib import ExitStack

from annotate.storage.opening import site_storage
from generator.frozen_set import FrozenSetError, MediaFile


def stored_media(path: str, sha256: str, held: ExitStack) -> MediaFile:
    """A stored file, on this machine while `held` lasts; who writes the set looks at its hash.

    Raises:
        FrozenSetError: it is missing.
    """
    try:
        return MediaFile(held.enter_context(site_storage().local(path)), sha256)
    except FileNotFoundError:
        raise FrozenSetError(f"{path} is missing; import it again, or leave out what shows it") from None
