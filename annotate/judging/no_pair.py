"""Why somebody gets no pair: a code for programs, and words for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Only those in `SCREENED_OUT` say anything of the person."""

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


#: What a person is told. A qualification has its own words; what is fetched ahead is asked for by programs.
WORDS = {
    Reason.LEADS_DO_NOT_VOTE: "Leads see which model made which video, so they do not vote. Judge with an "
    "annotator's account; LEADS_MAY_VOTE=1 lets leads vote, too.",
    Reason.DISQUALIFIED: "Your answers are not counted at present, so you are given no more pairs. Ask a "
    "lead why.",
    Reason.NOT_ENTERED: "You have not come in for this question. Open the study from its page on the "
    "platform again.",
    Reason.FINISHED: "You have finished. Your completion code is on the study's page.",
    Reason.LINK_ENDED: "The study was ended. That says nothing of your answers; they are kept.",
    Reason.SHARE_DONE: "You have judged all pairs that this study has for one person.",
    Reason.ROUND_CLOSED: "This study takes no more answers at present. That says nothing of yours; they are "
    "kept.",
    Reason.BEING_MADE: "New videos are being made. Come back in a few minutes.",
    Reason.ROUND_PAUSED: "This work is paused just now. Come back later.",
    Reason.NO_CONSENT: "The pairs that are left show people who did not agree to that, so nobody is shown "
    "them.",
    Reason.ALL_JUDGED: "Every pair of this track has its votes. Thank you.",
    Reason.ALREADY_MET: "The pairs that are left are ones you have already met: nobody judges both tracks of "
    "a pair, nor one pair twice. They wait for other people.",
    Reason.NOTHING_FREE_NOW: "The pairs that are left are in other people's hands just now. Come back in a "
    "few minutes.",
    Reason.ROUND_CAP: "You have judged {maximum} pairs of this round, as many as one person may. Thank you.",
    Reason.IDENTITY_CAP: "The pairs that are left show people whom you have judged as often as one person "
    "may ({maximum}). They wait for other people.",
    Reason.SAME_PERSON_OTHER_TRACK: "The pairs that are left show people whom you have met on the other "
    "track among your last {gap} pairs. They come once you have judged others, or go to other people; the "
    "other track may have some for you now.",
    Reason.JUST_FREED: "A pair has become free this very moment. Look again.",
}


@dataclass(frozen=True)
class NoPair:
    """A reason, and what to tell its person, in a sentence or two."""

    code: Reason
    message: str

    @classmethod
    def of(cls, code: Reason, **values: int) -> NoPair:
        return cls(code, WORDS[code].format(**values))

    @property
    def is_screened_out(self) -> bool:
        return self.code in SCREENED_OUT

    @property
    def is_passing(self) -> bool:
        return self.code in PASSING
