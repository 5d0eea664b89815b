"""The web server's entry point."""

from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotate.settings")

application = get_wsgi_application()
# Django imports the pages with the first request; nobody should wait for that, nor the freeze miss them.
_ = get_resolver().url_patterns
# What the start made is here to stay: the collector need not walk through it again and again.
gc.freeze()
