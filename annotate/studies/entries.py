"""Entry links: people of a crowd platform come in, agree, judge their share, and leave with a code."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.database import clock
from annotate.database.moments import in_words
from annotate.gold.qualification_queries import standing_of
from annotate.judging.assignment_queries import has_open_pair, num_judged, why_no_pair_of, why_no_work
from annotate.judging.no_pair import NoPair, Reason
from annotate.judging.queries import is_disqualified
from annotate.models import Entry, EntryLink, JudgingWork, Participant, Round, Study, User
from annotate.studies.answers import take_seat
from annotate.studies.queries import next_task, num_answered
from rlhf.records import Track

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")

#: Who cannot take part, and goes back to the platform as such: never for what is short on our side.
RETURNED = frozenset({"screened_out", "took_part", Reason.ALREADY_MET, "full", Reason.LINK_ENDED, "no_id"})

#: What newcomers are told, in part instead of the words for people who judge already.
_WORDS: dict[str, str] = {
    "no_id": "This address does not say who you are. Please open the study from its page on the platform "
    "again, rather than from a copied address.",
    "full": "This study is full: as many people as it needs have come already.",
    "screened_out": "You have been screened out: your answers are not counted at present.",
    "took_part": "You have taken part in this study already, and nobody may judge its videos twice. Your "
    "earlier answers are kept.",
    "not_begun": "This study has not begun yet. Please come back in some minutes.",
    Reason.LINK_ENDED: "This study has ended. Thank you for your interest.",
    Reason.ALREADY_MET: "You have already met the videos of this study, by another question about them, and "
    "nobody judges them twice. You were not screened out for anything that you answered.",
    Reason.NOTHING_FREE_NOW: "All videos of this study are in other people's hands just now. You were not "
    "turned down: look again in a few minutes, and your place is as good as before.",
    Reason.BEING_MADE: "The videos of this study are still being made. You were not turned down: look again "
    "in a few minutes.",
    Reason.ALL_JUDGED: "This study has all the answers that it needs. You were not turned down.",
    Reason.NO_CONSENT: "This study has nothing left to show. You were not turned down.",
}


class EntryRefusedError(Exception):
    """Somebody cannot come in; the message says why, in words for them.

    Attributes:
        code: the reason for programs.
        is_returned: whether they go back to the platform as somebody who cannot take part.
        is_passing: whether it is worth coming back within minutes.
    """

    def __init__(self, code: str, says: str = "", *, is_passing: bool = False) -> None:
        super().__init__(says or _WORDS[code])
        self.code = code
        self.is_returned = code in RETURNED
        self.is_passing = is_passing


@transaction.atomic
def make_link(link: EntryLink, round: Round, track: str, pairs_per_person: int, actor: User) -> EntryLink:
    """Store a new link, whose people judge so many pairs of one track of a round.

    Raises:
        ValueError: a value cannot be used; the message names it.
    """
    if not round.is_open:
        raise ValueError(f"{round} is {round.state}, so nobody could judge anything; choose an open round")
    add_link(link, actor)
    JudgingWork.objects.create(link=link, round=round, track=track, pairs_per_person=pairs_per_person)
    record_event("make_entry_link", link, actor=actor, round=round.pk, track=str(track))
    return link


def add_link(link: EntryLink, actor: User | None) -> None:
    """Store a new link without work, which has to follow in the same transaction.

    Raises:
        ValueError: a value cannot be used; the message names it.
    """
    if EntryLink.objects.filter(name=link.name).exists():
        raise ValueError(f"the name {link.name!r} is taken; choose another one")
    if link.closes_at <= clock.now():
        raise ValueError(f"closes at {in_words(link.closes_at)} is over; choose a later time")
    link.token, link.created_by = secrets.token_urlsafe(16), actor
    link.save()


def end_link(link: EntryLink, actor: User) -> bool:
    """Let nobody in any more, and give those who are in no further pair. False when it had ended."""
    ended = EntryLink.objects.filter(pk=link.pk, ended_at=None).update(ended_at=Now())
    if ended:
        record_event("end_entry_link", link, actor=actor)
    return bool(ended)


def check_external_id(external_id: str) -> None:
    """
    Raises:
        EntryRefusedError: it is no id of a platform.
    """
    if not _EXTERNAL_ID.match(external_id):
        raise EntryRefusedError("no_id")


def check_open(link: EntryLink) -> None:
    """
    Raises:
        EntryRefusedError: the link has ended, or is full.
    """
    if link.ended_at is not None or link.closes_at <= clock.now():
        raise EntryRefusedError(Reason.LINK_ENDED)
    if link.entries.count() >= link.max_people:
        raise EntryRefusedError("full")


@transaction.atomic
def enter(link: EntryLink, external_id: str) -> Entry:
    """Let somebody in who has agreed; coming back with the same id is the same entry and account.

    Raises:
        EntryRefusedError: with the reason; somebody who is in already is let in whatever it is.
    """
    check_external_id(external_id)
    # One at a time, so that no more come in than may.
    EntryLink.objects.select_for_update(no_key=True).get(pk=link.pk)
    # They may come by another link at the same moment; an account is made with its participant or not at all.
    participant, _ = Participant.objects.get_or_create(  # type: ignore[misc] # a default may be a callable
        id_parameter=link.id_parameter, external_id=external_id, defaults={"account": _new_account}
    )
    entry = link.entries.filter(participant=participant).first()
    if entry is not None:
        return entry
    check_open(link)
    work = link.work
    if isinstance(work, Study):
        return _enter_study(link, work, participant)
    if _is_screened_out(participant.account, Track(work.track)):
        raise EntryRefusedError(
            "screened_out",
            "You have been screened out: your answers to pairs of this kind are not counted at present.",
        )
    same = JudgingWork.objects.filter(round=work.round_id, track=work.track)
    if same.filter(link__entries__participant=participant).exists():
        raise EntryRefusedError("took_part")
    _refuse_without_pair(participant.account, work)
    return Entry.objects.create(link=link, participant=participant)


def _refuse_without_pair(account: User, work: JudgingWork) -> None:
    """Nobody comes in to find nothing. Only the reason says whether that has to do with them."""
    if has_open_pair(account, work):
        return
    why = why_no_work(account, work)
    raise EntryRefusedError(why.code, _WORDS.get(why.code, why.message), is_passing=why.is_passing)


def _enter_study(link: EntryLink, study: Study, participant: Participant) -> Entry:
    """Seats are planned, so one who is in has one for good."""
    if is_disqualified(participant.account):
        raise EntryRefusedError("screened_out")
    if study.opened_at is None:
        raise EntryRefusedError("not_begun", is_passing=True)
    if not take_seat(study, participant.account):
        raise EntryRefusedError("full")
    return Entry.objects.create(link=link, participant=participant)


def _new_account() -> User:
    account = User(username=f"participant-{secrets.token_hex(4)}", role=User.Role.PARTICIPANT)
    account.set_unusable_password()
    account.save()
    return account


@dataclass(frozen=True)
class Progress:
    """How far somebody is."""

    judged: int
    wanted: int
    is_finished: bool
    is_screened_out: bool
    has_more: bool
    # Why there is no further pair, where there is none.
    no_pair: NoPair | None = None

    @property
    def can_finish(self) -> bool:
        """With all pairs, or with those that there were."""
        has_judged_enough = self.judged >= self.wanted or (self.judged > 0 and not self.has_more)
        return has_judged_enough and not self.is_screened_out


def progress(entry: Entry) -> Progress:
    work = entry.link.work
    if isinstance(work, Study):
        return _study_progress(entry, work)
    account = entry.participant.account
    judged = num_judged(account, work)
    is_finished = entry.finished_at is not None
    is_screened_out = not is_finished and _is_screened_out(account, Track(work.track))
    has_more = (
        not (is_finished or is_screened_out)
        and entry.link.ended_at is None
        and judged < work.pairs_per_person
        and has_open_pair(account, work)
    )
    why = None if has_more else why_no_pair_of(entry)
    return Progress(judged, work.pairs_per_person, is_finished, is_screened_out, has_more, why)


def _study_progress(entry: Entry, study: Study) -> Progress:
    account = entry.participant.account
    is_finished = entry.finished_at is not None
    return Progress(
        num_answered(account, study),
        study.pairs_per_person,
        is_finished,
        not is_finished and is_disqualified(account),
        next_task(entry) is not None,
    )


def _is_screened_out(account: User, track: Track) -> bool:
    """Whose answers do not count, or who has just failed to qualify."""
    return is_disqualified(account) or standing_of(account, track).again_at is not None


def finish(entry: Entry) -> bool:
    """Close an entry whose work is done; the code is shown from now on. False when there is work left."""
    if not progress(entry).can_finish:
        return False
    Entry.objects.filter(pk=entry.pk, finished_at=None).update(finished_at=Now())
    return True
