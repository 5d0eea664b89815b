"""Tests run on what is shipped: whatever differs is named with its reason in `tests/settings.py`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from annotate import settings as shipped
from tests import settings as ours


def different() -> list[str]:
    names = {name for name in [*dir(shipped), *dir(ours)] if name[0].isalpha() and name.isupper()}
    names -= {"DIFFERENCES", "PLACE"}
    return sorted(name for name in names if getattr(shipped, name, None) != getattr(settings, name, None))


def test_every_setting_that_differs_is_named_with_its_reason():
    assert set(different()) == set(ours.DIFFERENCES)
    assert all(ours.DIFFERENCES.values())


def test_the_database_differs_in_its_place_alone():
    described = shipped.DATABASES["default"]
    changed = {name for name in described if described[name] != settings.DATABASES["default"][name]}
    assert changed <= set(ours.PLACE)
    assert described["OPTIONS"]


@pytest.mark.django_db
def test_the_connection_has_the_shipped_options():
    """What Django does with the options, not what the dictionary says."""
    options = shipped.DATABASES["default"]["OPTIONS"]
    connection.ensure_connection()
    assert connection.features.uses_server_side_binding is options["server_side_binding"]
    assert connection.connection.prepare_threshold == options["prepare_threshold"]


def test_a_difference_that_nobody_named_is_found(tmp_path):
    code = "from tests.annotate.core.test_shipped_settings import different; print(different())"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"DJANGO_SETTINGS_MODULE": "sneaky", "PYTHONPATH": f"{tmp_path}:{shipped.BASE_DIR}"}
    (tmp_path / "sneaky.py").write_text("from tests.settings import *\nLEASE_S = 5\n")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "LEASE_S" in done.stdout, done.stderr
