"""The ways in which clips come to browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.annotate.deliveries import NGINX, ByProxy, ByRedirect, ByWeb, Delivery, nginx
from tests.object_store import CREDENTIALS

#: Who sends, and from where.
WAYS = ["web-folder", "web-bucket", "proxy-folder", "proxy-bucket", "redirect-bucket"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[Delivery]:
    """One way, which the site is set to."""
    settings.MEDIA_DELIVERY, _, kept_in = request.param.partition("-")
    if kept_in == "bucket":
        settings.STORAGE = request.getfixturevalue("object_store").address()
        settings.STORAGE_CREDENTIALS = CREDENTIALS
    if settings.MEDIA_DELIVERY != "proxy":
        yield ByWeb() if settings.MEDIA_DELIVERY == "web" else ByRedirect()
        return
    if NGINX is None:
        pytest.skip("no nginx here (apt-get install nginx-light)")
    with nginx(tmp_path, settings.STORAGE.origin) as relay:
        yield ByProxy(relay)
