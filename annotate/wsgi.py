"""The web server's entry point."""

from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotate.settings")

application = get_wsgi_application()
# What the start made is here to stay: the collector need not walk through it again and again.
gc.freeze()
