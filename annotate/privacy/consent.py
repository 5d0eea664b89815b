"""Refuse what people did not agree to: before a run is queued, and once more when a worker takes it."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from annotate.core.errors import RoundError
from annotate.models import Export, IdentityGroup, PreferencePair, Round, Use
from annotate.privacy.consent_queries import given, people_of, refusal, uses_of


def refuse_without_consent(round: Round) -> None:
    """A round goes on while anybody in it agreed to what it does; those who did not are left out.

    Raises:
        RoundError: nobody did.
    """
    people, uses = people_of(round), uses_of(round)
    if people.exists() and not people.filter(given("", *uses)).exists():
        raise RoundError(refusal(people, *uses))


def people_in(export: Export) -> QuerySet[IdentityGroup]:
    """Everybody whose pairs a frozen set holds."""
    theirs = PreferencePair.objects.filter(exports=export, pair__instance__group=OuterRef("pk"))
    return IdentityGroup.objects.filter(Exists(theirs))


def refuse_training(export: Export) -> None:
    """A frozen set cannot leave anybody out: another export does.

    Raises:
        RoundError: somebody in it does not, or no longer, agree to training.
    """
    if says := refusal(people_in(export), Use.TRAIN):
        raise RoundError(f"{says} An export made now leaves them out.")
