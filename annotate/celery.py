"""The job queue's entry point: `celery -A annotate.celery worker`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotate.settings")

app = Celery("annotate")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="door_tasks")
app.autodiscover_tasks(related_name="quality_tasks")
app.autodiscover_tasks(related_name="study_tasks")
# The current app is per thread; the web server's threads find this one only as the default.
app.set_default()
