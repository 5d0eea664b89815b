"""Why somebody gets no pair: every reason has its own code and words, and none is called another."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.judging.assignment_queries import why_no_pair
from annotate.judging.no_pair import SCREENED_OUT, Reason
from annotate.judging.slots import lease_slot
from annotate.models import Entry, EntryLink, IdentityGroup, Participant, Qualification, Round, Slot, User
from annotate.quality.disqualification import disqualify
from annotate.studies import entries
from annotate.studies.entries import EntryRefusedError
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.entry_links import TERMS, come, judge_one, make_link
from tests.factories import make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db
LEASE = "/api/tracks/identity/lease/"


def reason_of(person: User) -> str:
    """The same at every entry point."""
    machine = machine_of(person)
    given = machine.post(LEASE, {}, format="json")
    assert given.status_code == 204
    said = machine.get(LEASE).json()
    page = browser_of(person).get("/judge/identity/").content.decode()
    why = why_no_pair(person, Track.IDENTITY)
    assert given.headers["No-Pair-Reason"] == said["reason"] == why.code
    assert f'data-reason="{why.code}"' in page and said["says"] == why.message and said["open"] == 0
    return str(why.code)


def test_reasons_of_annotators(ana, ben, lea, settings):
    assert reason_of(ana) == Reason.ALL_JUDGED
    unmade = make_pair(is_made=False)
    assert reason_of(ana) == Reason.BEING_MADE
    unmade.round.delete()
    pair = make_pair()
    slot = lease_slot(ben, Track.IDENTITY)
    assert reason_of(ana) == Reason.NOTHING_FREE_NOW
    assert (
        machine_of(ben)
        .post("/api/tracks/controllability/lease/", {}, format="json")
        .headers["No-Pair-Reason"]
        == Reason.ALREADY_MET
    )
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    IdentityGroup.objects.filter(pk=pair.instance.group_id).update(
        consent_expires_on=timezone.localdate() - timedelta(days=1)
    )
    assert reason_of(ana) == Reason.NO_CONSENT
    IdentityGroup.objects.update(consent_expires_on=None)
    settings.QUALIFY = 2
    assert reason_of(ana) == Reason.NO_TRAINING_LEFT
    Qualification.objects.create(annotator=ana, track="identity", asked=2, right=0, is_passed=False)
    assert reason_of(ana) == Reason.QUALIFICATION_WAIT
    disqualify(ana, "answers without looking", lea)
    assert reason_of(ana) == Reason.DISQUALIFIED
    assert reason_of(lea) == Reason.LEADS_DO_NOT_VOTE


def test_caps_are_reasons_of_their_own(ana, settings):
    round, instance = make_round(), make_instance()
    for _ in range(3):
        make_pair(round, instance)
    settings.MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY = 1
    slot = lease_slot(ana, Track.IDENTITY)
    Slot.objects.filter(pk=slot.pk).update(judged_at=timezone.now())
    assert why_no_pair(ana, Track.IDENTITY).code == Reason.IDENTITY_CAP
    settings.MAX_PAIRS_PER_ANNOTATOR = 1
    assert why_no_pair(ana, Track.IDENTITY).code == Reason.ROUND_CAP


def test_whoever_holds_enough_waits_for_their_own_answers(ana):
    round, instance = make_round(), make_instance()
    for _ in range(4):
        make_pair(round, instance)
    machine = machine_of(ana)
    first = machine.post(LEASE, {}, format="json").json()["lease"]
    second = machine.post(LEASE, {"ahead_of": first}, format="json").json()["lease"]
    third = machine.post(LEASE, {"ahead_of": second}, format="json")
    assert (third.status_code, third.headers["No-Pair-Reason"]) == (204, Reason.ANSWERS_AWAITED)


@pytest.fixture
def round(db: None) -> Round:
    round = make_round(votes_wanted=1)
    for _ in range(2):
        make_pair(round)
    return round


def refused(link: EntryLink, name: str = "new") -> EntryRefusedError:
    with pytest.raises(EntryRefusedError) as caught:
        entries.enter(link, name)
    assert not Participant.objects.filter(external_id=name).exists(), "nobody is remembered for our queue"
    return caught.value


def test_a_newcomer_is_not_screened_out_because_nothing_is_free(round):
    link = make_link(round, pairs=1, max_people=9)
    for _ in range(2):
        lease_slot(make_user(), Track.IDENTITY)
    assert refused(link).code == Reason.NOTHING_FREE_NOW and refused(link).is_passing
    page = browser_of(None).post(f"/enter/{link.token}/", {"PROLIFIC_PID": "new"})
    said = page.content.decode()
    assert page.status_code == 403 and 'data-reason="nothing_free_now"' in said and "Look again" in said
    assert "screened out" not in said and TERMS["screened_out_url"] not in said
    # As soon as one is free again the same person comes in.
    Slot.objects.exclude(annotator=None).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert come(link, "new")[1] == 302


def test_a_newcomer_is_told_what_is_short(round):
    link = make_link(round, max_people=9)
    IdentityGroup.objects.update(consent_expires_on=timezone.localdate() - timedelta(days=1))
    assert refused(link).code == Reason.NO_CONSENT
    IdentityGroup.objects.update(consent_expires_on=None)
    Round.objects.filter(pk=round.pk).update(state="closed")
    link = EntryLink.objects.get(pk=link.pk)
    assert refused(link).code == Reason.ROUND_CLOSED
    Round.objects.filter(pk=round.pk).update(state="open")
    Slot.objects.all().delete()
    assert refused(EntryLink.objects.get(pk=link.pk)).code == Reason.ALL_JUDGED
    assert not any(refused(EntryLink.objects.get(pk=link.pk)).is_returned for _ in range(1))


def test_only_who_failed_a_screen_is_screened_out(round, lea):
    link = make_link(round, max_people=9)
    browser, _ = come(link, "a")
    account = Participant.objects.get().account
    disqualify(account, "answers without looking", lea)
    assert why_no_pair(account, Track.IDENTITY).is_screened_out
    page = browser.get(f"/enter/{link.token}/").content.decode()
    assert "You have been screened out" in page and 'data-reason="disqualified"' in page
    assert set(SCREENED_OUT) == {Reason.DISQUALIFIED, Reason.QUALIFICATION_WAIT}


def test_somebody_who_is_in_is_told_their_own_reason(round, lea):
    link = make_link(round, pairs=1, max_people=9)
    browser, _ = come(link, "a")
    account = Participant.objects.get().account
    other = machine_of(account).post("/api/tracks/controllability/lease/", {}, format="json")
    assert other.headers["No-Pair-Reason"] == Reason.NOT_ENTERED
    assert judge_one(browser)
    assert reason_of(account) == Reason.SHARE_DONE
    browser.post(f"/enter/{link.token}/finish/")
    assert why_no_pair(account, Track.IDENTITY).code == Reason.FINISHED
    browser, _ = come(link, "b")
    account = Participant.objects.get(external_id="b").account
    Round.objects.filter(pk=round.pk).update(state="closed")
    page = browser.get(f"/enter/{link.token}/").content.decode()
    assert 'data-reason="round_closed"' in page and TERMS["screened_out_url"] not in page
    Round.objects.filter(pk=round.pk).update(state="open")
    entries.end_link(link, lea)
    assert why_no_pair(account, Track.IDENTITY).code == Reason.LINK_ENDED
    assert Entry.objects.count() == 2
