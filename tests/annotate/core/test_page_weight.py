"""What a browser fetches to judge: little on the first view, and nothing but the pair on the next."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from annotate import settings as shipped
from annotate.models import User
from tests.annotate.conftest import browser_of
from tests.factories import make_pair

pytestmark = pytest.mark.django_db

FIRST_VIEW = 60_000
PAIR = 4_000
_FETCHED = re.compile(r'<(?:script|link|use)[^>]+(?:src|href)="/static/([^"#]+)')


@pytest.fixture
def collected(settings: Any, tmp_path: Path) -> Path:
    """Static files as the site has them, compressed once and under names with their hashes."""
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = shipped.STORAGES
    call_command("collectstatic", verbosity=0, interactive=False)
    return tmp_path


def size_of(file: Path) -> int:
    packed = file.with_name(f"{file.name}.gz")  # not there where it would be no smaller
    return (packed if packed.exists() else file).stat().st_size


@pytest.mark.parametrize("track", ["identity", "controllability"])
def test_the_first_view_is_light_and_the_next_is_the_pair(ana: User, collected: Path, track: str) -> None:
    make_pair()
    browser, address = browser_of(ana), f"/judge/{track}/"
    page = browser.get(address, headers={"Accept-Encoding": "gzip"}).content
    files = {collected / name for name in _FETCHED.findall(gzip.decompress(page).decode())}
    assert {".js", ".css", ".svg"} == {file.suffix for file in files}
    sizes = {file.name: size_of(file) for file in files}
    assert len(page) + sum(sizes.values()) <= FIRST_VIEW, sizes
    pair = browser.get(address, headers={"Accept-Encoding": "gzip", "HX-Request": "true"}).content
    assert b"/static/" not in re.sub(rb'<use href="[^"]+"', b"", gzip.decompress(pair))
    assert len(pair) <= PAIR
