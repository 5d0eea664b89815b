"""A real browser is sent to a real bucket for its clips, and the page plays them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from annotate.core.browser_policy import content_security_policy
from annotate.models import Judgment, User
from tests.annotate.deliveries import clips_into_site_storage
from tests.browser.judging_page import JudgingPage
from tests.factories import make_pair
from tests.object_store import CREDENTIALS, ObjectStore

Judge = Callable[..., JudgingPage]


def test_a_pair_is_judged_with_clips_from_the_bucket(
    judge: Judge, ana: User, object_store: ObjectStore, settings: Any
) -> None:
    """The page waits until both clips can be played, and fails on anything that the browser refuses."""
    settings.STORAGE, settings.STORAGE_CREDENTIALS = object_store.address(), CREDENTIALS
    settings.MEDIA_DELIVERY = "redirect"
    settings.CONTENT_SECURITY_POLICY = content_security_policy(settings.STORAGE.origin)
    pair = make_pair()
    make_pair(pair.round)
    clips_into_site_storage()
    judging = judge(ana, "identity")
    judging.wait_until_next_is_fetched()
    fetched = judging.page.evaluate(
        "async (url) => { const got = await fetch(url); return [got.url, got.redirected, got.status]; }",
        f"/media/{judging.lease}/left",
    )
    assert fetched[1:] == [True, 200] and fetched[0].startswith(object_store.endpoint)
    assert judging.page.evaluate("() => view.player.videos.left.videoWidth") == 64
    assert urlsplit(fetched[0]).path.split("/")[-2] == "leased"
    judging.press("1")
    judging.submit()
    judging.wait_until_ready()
    assert Judgment.objects.count() == 1
