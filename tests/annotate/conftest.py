"""Personas: Ana and Ben annotate, Lea leads, and everybody else is a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Reference, User, VideoSample
from annotate.storage.address import FolderAddress
from annotate.storage.interface import Storage
from annotate.storage.opening import site_storage
from tests.factories import make_user
from tests.object_store import CREDENTIALS


@pytest.fixture
def ana(db: None) -> User:
    return make_user("ana")


@pytest.fixture
def ben(db: None) -> User:
    return make_user("ben")


@pytest.fixture
def lea(db: None) -> User:
    return make_user("lea", role=User.Role.LEAD)


@pytest.fixture(params=["folder", "bucket"])
def either_storage(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Storage:
    """The storage of the site, of each kind, and empty: other tests' runs may name the same numbers."""
    settings.STORAGE = FolderAddress(tmp_path / "storage")
    if request.param == "bucket":
        settings.STORAGE = request.getfixturevalue("object_store").address()
        settings.STORAGE_CREDENTIALS = CREDENTIALS
    return site_storage()


def store_clips(storage: Storage) -> None:
    """Store the files of all references and samples, which tests draw into a folder that they share."""
    paths = {path for row in Reference.objects.values_list("path", "poster") for path in row}
    for path in (paths | set(VideoSample.objects.values_list("path", flat=True))) - {""}:
        storage.put(path, site_settings.STORAGE_ROOT / path)


def browser_of(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def machine_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client
