"""Why somebody gets no pair: a code for programs, and words for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Each has its own words where it is given. Only those in `SCREENED_OUT` say anything of the person."""

    LEADS_DO_NOT_VOTE = "leads_do_not_vote"
    DISQUALIFIED = "disqualified"
    QUALIFICATION_WAIT = "qualification_wait"  # a try failed; the next one may begin later
    NO_TRAINING_LEFT = "no_training_left"  # not qualified, and nothing to qualify on
    NOT_ENTERED = "not_entered"  # a participant without an open entry for this track
    FINISHED = "finished"
    LINK_ENDED = "link_ended"
    SHARE_DONE = "share_done"  # all pairs that the link gives one person
    ROUND_CLOSED = "round_closed"
    BEING_MADE = "being_made"  # videos are on their way
    ROUND_PAUSED = "round_paused"
    NO_CONSENT = "no_consent"  # those who are left did not agree to be shown, or no longer do
    ALL_JUDGED = "all_judged"
    ALREADY_MET = "already_met"
    NOTHING_FREE_NOW = "nothing_free_now"  # other people hold what is left
    ROUND_CAP = "round_cap"
    IDENTITY_CAP = "identity_cap"
    SAME_PERSON_OTHER_TRACK = "same_person_other_track"
    ANSWERS_AWAITED = "answers_awaited"  # as many pairs are held as may be held at once
    JUST_FREED = "just_freed"


#: Somebody failed a screen, and is told so.
SCREENED_OUT = frozenset({Reason.DISQUALIFIED, Reason.QUALIFICATION_WAIT})
#: It is worth asking again within minutes.
PASSING = frozenset({Reason.BEING_MADE, Reason.NOTHING_FREE_NOW, Reason.ANSWERS_AWAITED, Reason.JUST_FREED})


@dataclass(frozen=True)
class NoPair:
    """A reason, and what to tell its person, in a sentence or two."""

    code: Reason
    message: str

    @property
    def is_screened_out(self) -> bool:
        return self.code in SCREENED_OUT

    @property
    def is_passing(self) -> bool:
        return self.code in PASSING
