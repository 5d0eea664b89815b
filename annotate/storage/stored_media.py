"""Stored files for those who write frozen sets, which know files of this machine alone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from annotate.storage.interface import AlteredError
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
        raise missing(path) from None


def refer_media(file: MediaFile, folder: Path) -> bool:
    """Put a stored file, named by its key, into the media of a set in a workspace; False where it is there.

    The storage links or copies it by itself.

    Raises:
        FrozenSetError: it is missing, or has other bytes than stated.
    """
    try:
        return site_storage().refer(file.path.as_posix(), file.sha256, folder / file.name)
    except FileNotFoundError:
        raise missing(file.path.as_posix()) from None
    except AlteredError as error:
        raise FrozenSetError(str(error)) from None


def put_set(folder: Path, prefix: str, *, last: str) -> None:
    """Store a set whose media were referred to; `last` says that it is whole.

    Raises:
        FrozenSetError: a file is missing, or has other bytes than stated.
    """
    try:
        site_storage().put_folder(folder, prefix, last=last)
    except FileNotFoundError as error:
        raise missing(str(error.strerror or error)) from None
    except AlteredError as error:
        raise FrozenSetError(str(error)) from None


def missing(what: str) -> FrozenSetError:
    return FrozenSetError(f"{what} is missing; import it again, or leave out what shows it")
