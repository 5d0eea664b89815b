from __future__ import annotations

from pathlib import Path

import pytest

from tests.generator.media.media_files import MediaMaker


@pytest.fixture
def make(tmp_path: Path) -> MediaMaker:
    """Makes media files in the test's own folder."""
    return MediaMaker(tmp_path)
