"""A storage of each kind: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.storage.address import FolderAddress
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import Storage


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage."""
    if request.param == "folder":
        return FolderStorage(FolderAddress(tmp_path / "storage"))
    return request.getfixturevalue("object_store").storage(tmp_path / "cache")
