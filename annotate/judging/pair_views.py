"""Pages on which pairs are judged one after the other: what judging and user studies have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page

from annotate.core.access import SignedInRequest, signed_in
from annotate.judging.answer_schema import Answer, NotWatchedError, TooSoonError, read_form
from annotate.judging.judgments import AlreadyAnsweredError, LeaseLostError, TooLateError
from annotate.models import Side, Slot, StudyTask
from rlhf.records import CHOICES, EXPRESSED, FAVOURED

Pair = TypeVar("Pair", Slot, StudyTask)

#: What someone is told whose address lacks a part.
INCOMPLETE_LINK = "That link was incomplete. Here is your current pair."


class Wanted(forms.Form):
    """Which pair a page asks for: the one in hand, the next after it, or the last one judged."""

    ahead_of = forms.UUIDField(required=False)
    undo = forms.BooleanField(required=False)
    revises = forms.BooleanField(required=False)


# Clips are never compressed again, so this is of pages alone.
@method_decorator([signed_in, never_cache, gzip_page], name="dispatch")
class PairPage(View, Generic[Pair]):
    """A page on which a person judges pairs.

    Attributes:
        schema: what its form may hold.
        template: the page, whose part `task` is all that a program fetches.
        guidelines: the template that says how to judge.
        offered: the answers that may be given.
        media: name of the address at which the files of a pair are.
        wanted: what the request asks for, by the fields of `Wanted`.
    """

    http_method_names = ["get", "head", "post"]
    request: SignedInRequest
    schema: ClassVar[Answer]
    template: ClassVar[str]
    offered: ClassVar[Collection[str]]
    media: ClassVar[str]
    guidelines: str
    wanted: dict[str, Any]

    @abstractmethod
    def find(self, ahead_of: UUID | None) -> Pair | None:
        """The person's pair, or the one after `ahead_of`."""

    @abstractmethod
    def store(self, lease: UUID, fields: dict[str, Any]) -> None:
        """Store an answer that fits `schema`."""

    @abstractmethod
    def refuse(self, stands: Any, sent: dict[str, Any]) -> HttpResponse:
        """What is shown where another answer to the pair stands."""

    @abstractmethod
    def context(self, pair: Pair | None, said: dict[str, Any]) -> dict[str, Any]:
        """What the template needs of this kind of page; `said` is the answer to begin with."""

    @abstractmethod
    def task(self, pair: Pair) -> dict[str, Any]:
        """A pair in the words of the page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        wanted = Wanted(request.POST if request.method == "POST" else request.GET)
        if not wanted.is_valid():
            return self.page(problem=INCOMPLETE_LINK, status=422)
        self.wanted = wanted.cleaned_data
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, **_: Any) -> HttpResponse:
        return self.page(ahead_of=self.wanted["ahead_of"])

    def post(self, request: HttpRequest, **_: Any) -> HttpResponse:
        """Store an answer; a program gets the pair that follows, ahead of the one that it shows by now."""
        sent, problem = read_form(self.schema, request.POST)
        if problem:
            return self.page(problem=problem, status=422, sent=sent)
        fields = dict(sent)
        try:
            self.store(fields.pop("lease"), fields)
        except AlreadyAnsweredError as error:
            # The Back button or a second tab. What says the same was not lost, and the next pair follows.
            if not error.is_same:
                return self.refuse(error.answer, sent)
        except (LeaseLostError, TooLateError) as lost:
            return self.page(problem=f"Your answer was not stored: {lost}.", status=409)
        except (NotWatchedError, TooSoonError, ValueError) as refused:
            return self.page(problem=f"Your answer was not stored: {refused}.", status=422, sent=sent)
        if not self.request.htmx:
            return redirect(request.path)
        if self.wanted["revises"]:
            return HttpResponse(status=204)
        return self.page(ahead_of=self.wanted["ahead_of"])

    def page(
        self,
        *,
        problem: str = "",
        status: int = 200,
        ahead_of: UUID | None = None,
        sent: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The person's pair, or the one after `ahead_of` (204 where there is none).

        `sent` is an answer that was not stored. It is kept for its pair.
        """
        pair = self.find(ahead_of)
        if pair is None and ahead_of:
            return HttpResponse(status=204)
        said = sent if sent and pair and pair.lease == sent.get("lease") else {}
        return self.show(pair, said, problem=problem, status=status)

    def show(
        self, pair: Pair | None, said: dict[str, Any], *, problem: str = "", status: int = 200, **more: Any
    ) -> HttpResponse:
        """The fragment and the page are one template and one context."""
        sides = [{"name": s.value, "label": s.label, "url": self.url(pair, s)} for s in Side] if pair else []
        known = {"lease": pair.lease, "idempotency_key": uuid4(), **self.task(pair)} if pair else None
        context = {
            **page_context(self.guidelines, self.offered),
            **self.context(pair, said),
            **more,
            "problem": problem,
            "task": known,
            "sides": sides,
        }
        template = self.template + ("#task" if self.request.htmx else "")
        return render(self.request, template, context, status=status)

    def url(self, pair: Pair, place: str) -> str:
        return reverse(self.media, args=[pair.lease, place])

    def reference(self, pair: Pair, place: str, *, is_clip: bool, **more: Any) -> dict[str, Any]:
        urls = {"url": self.url(pair, place), "poster": self.url(pair, f"{place}.poster")}
        return {**urls, "is_clip": is_clip, **more}


def page_context(guidelines: str, offered: Collection[str]) -> dict[str, Any]:
    return {
        "choices": {
            choice: {
                "key": verdict.data.key,
                "words": verdict.data.words + ("" if verdict in EXPRESSED else ", with a reason"),
                "hint": verdict.data.hint,
                "takes_side": verdict in FAVOURED,
                "abstains": verdict not in EXPRESSED,
                "is_offered": choice in offered,
            }
            for choice, verdict in CHOICES.items()
        },
        "guidelines": {"template": guidelines, "version": guideline_version(guidelines)},
        "session": {
            "break_after_min": settings.SESSION_BREAK_MIN,
            "limit_min": settings.SESSION_LIMIT_MIN,
            "lease_s": settings.LEASE_S,
            "guard_ms": settings.ANSWER_GUARD_MS,
        },
    }


@cache
def guideline_version(guidelines: str) -> str:
    """It follows from the words, so that no change of theirs goes without one."""
    source = (settings.BASE_DIR / "templates" / guidelines).read_bytes()
    return sha256(source).hexdigest()[:8]
