"""A lead's word on pairs that the votes left open."""

from __future__ import annotations

from django.db import transaction

from annotate.core.audit import record_event
from annotate.judging.resolution import resolve_pair
from annotate.judging.vote_queries import may_adjudicate
from annotate.models import Adjudication, User, VideoPair
from rlhf.records import Track, Verdict


class AdjudicationError(ValueError):
    """The word cannot stand; the message names the reason."""


@transaction.atomic
def adjudicate(pair: VideoPair, verdicts: dict[Track, Verdict], note: str, author: User) -> Adjudication:
    """Decide both tracks of a pair; the votes stay as they are. A later word takes the place of this one.

    Raises:
        AdjudicationError: the author has met the pair as an annotator.
    """
    _check(pair, author)
    word = Adjudication.objects.create(
        pair=pair,
        identity=verdicts[Track.IDENTITY],
        controllability=verdicts[Track.CONTROLLABILITY],
        note=note,
        author=author,
    )
    _resolve(pair, is_adjudicated=True)
    said = {str(track): str(verdict) for track, verdict in verdicts.items()}
    record_event("adjudicate", pair, actor=author, **said)
    return word


@transaction.atomic
def take_back(pair: VideoPair, author: User) -> bool:
    """Leave a pair to its votes again; False when no word stands.

    Raises:
        AdjudicationError: as `adjudicate`.
    """
    _check(pair, author)
    if not VideoPair.objects.select_for_update(no_key=True).get(pk=pair.pk).is_adjudicated:
        return False
    Adjudication.objects.create(pair=pair, author=author)
    _resolve(pair, is_adjudicated=False)
    record_event("take_back_adjudication", pair, actor=author)
    return True


def _check(pair: VideoPair, author: User) -> None:
    if not may_adjudicate(author, pair):
        raise AdjudicationError("you have judged this pair yourself; another lead has to decide it")


def _resolve(pair: VideoPair, *, is_adjudicated: bool) -> None:
    VideoPair.objects.filter(pk=pair.pk).update(is_adjudicated=is_adjudicated)
    resolve_pair(pair.pk)
