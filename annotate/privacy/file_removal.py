"""Removing stored files: written down in a transaction, done after it, taken up again after a crash.

Files cannot be rolled back. So whoever removes them together with rows writes that down, and the files go
once the rows are gone for good.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import transaction

from annotate.models import Erasure, FileRemoval
from annotate.privacy.removal_queries import claimed_removals
from annotate.privacy.traces import Traces, strike_out
from annotate.storage.opening import site_storage

logger = logging.getLogger(__name__)

#: Removals that are done before their rows go, at once.
CHUNK = 500


@dataclass(frozen=True)
class Removed:
    """What became of removals: done, kept because a row names the file, and not possible with the reason."""

    done: int = 0
    kept: int = 0
    failed: int = 0


@transaction.atomic
def remove_after_commit(
    files: Iterable[str] = (),
    folders: Iterable[str] = (),
    struck: Mapping[str, Traces] | None = None,
    *,
    erasure: Erasure | None = None,
) -> None:
    """Write down what is to go, by paths in the storage; it goes once the transaction around this has ended.

    Folders go with all that is in them; `struck` files stay, without what the traces say. Where it is part of
    an erasure, `carry_out` is the erasure's to call.
    """
    rows = [FileRemoval(path=path, erasure=erasure) for path in files]
    rows += [FileRemoval(path=path, is_folder=True, erasure=erasure) for path in folders]
    rows += [
        FileRemoval(path=path, traces=traces.to_json(), erasure=erasure)
        for path, traces in (struck or {}).items()
    ]
    FileRemoval.objects.bulk_create(rows, batch_size=1000)
    if erasure is None:
        transaction.on_commit(lambda: carry_out(), robust=True)


def carry_out(erasure: Erasure | None = None) -> Removed:
    """Do what is written down, of one erasure or all; safe to repeat, and to do at the same time.

    What a row names stays. What cannot be done stays written down, with the reason.
    """
    wanted = FileRemoval.objects.all() if erasure is None else FileRemoval.objects.filter(erasure=erasure)
    kept, _ = wanted.filter(pk__in=claimed_removals().values("pk")).delete()
    done = failed = last = 0
    while chunk := list(wanted.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = chunk[-1].pk
        ended = []
        for removal in chunk:
            try:
                _do(removal)
            except OSError as error:
                failed += 1
                removal.error = f"{error.strerror or error}"[:500]
                logger.warning("%s cannot be removed: %s", removal.path, removal.error)
            else:
                ended.append(removal.pk)
        FileRemoval.objects.bulk_update([item for item in chunk if item.error], ["error"])
        FileRemoval.objects.filter(pk__in=ended).delete()
        done += len(ended)
    return Removed(done, kept, failed)


def _do(removal: FileRemoval) -> None:
    if removal.traces is not None:
        strike_out(removal.path, Traces.from_json(removal.traces))
    elif removal.is_folder:
        site_storage().remove_folder(removal.path)
    else:
        site_storage().remove([removal.path])
