"""Entry links, and who came in by them."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotate.judging.assignment_queries import judged_slots
from annotate.models import Entry, EntryLink, Study, StudyAnswer, User


def visible_links(user: User) -> QuerySet[EntryLink]:
    links = EntryLink.objects.select_related("judging__round", "study").annotate(
        num_entered=Count("entries"), num_finished=Count("entries__finished_at")
    )
    return links.order_by("-id") if user.is_lead else links.none()


def find_link(token: str) -> EntryLink | None:
    return EntryLink.objects.select_related("judging__round", "study").filter(token=token).first()


def entries_of(link: EntryLink) -> QuerySet[Entry]:
    """Who came in by a link, with how much they have judged of its work."""
    work, account = link.work, OuterRef("participant__account")
    judged: QuerySet[Any, Any]
    if isinstance(work, Study):
        answered = StudyAnswer.objects.filter(task__seat__study=work, task__seat__participant=account)
        judged = answered.order_by().values("task__seat").annotate(count=Count("id"))
    else:
        slots = judged_slots(work).filter(annotator=account).order_by().values("annotator")
        judged = slots.annotate(count=Count("id"))
    count = Coalesce(Subquery(judged.values("count"), output_field=IntegerField()), 0)
    return link.entries.select_related("participant__account").annotate(num_judged=count)
