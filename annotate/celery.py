"""The job queue's entry point: `celery -A annotate.celery worker`."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotate.settings")

app = Celery("annotate")
app.config_from_object("django.conf:settings", namespace="CELERY")
# A room that has jobs has a module `tasks`.
app.autodiscover_tasks([f"annotate.{file.parent.name}" for file in Path(__file__).parent.glob("*/tasks.py")])
# The current app is per thread; the web server's threads find this one only as the default.
app.set_default()
