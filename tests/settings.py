"""What is shipped, in a place of its own.

Every setting in which tests differ is named here with its reason, and a test refuses any other difference.
"""

from annotate.settings import *  # noqa: F403
from annotate.settings import DATABASES as _SHIPPED
from annotate.settings import STORAGES as _STORAGES

#: Setting -> why tests do not run on the shipped value. `tests/conftest.py` sets what is known only later.
DIFFERENCES = {
    "DATABASES": "name and place alone: the tests' own PostgreSQL, whatever DATABASE_URL says",
    "VAR_DIR": "place: pytest's temporary folder",
    "STORAGE_ROOT": "place: below VAR_DIR",
    "STORAGE": "place: likewise",
    "ALLOWED_HOSTS": "Django's own: its test client calls itself testserver",
    "CELERY_BROKER_URL": "place: messages stay in the process; tests of the queue start a Redis of their own",
    "CACHES": "place: figures stay in the process; the site's own are in Redis",
    "PASSWORD_HASHERS": "hashing speed: tests sign in all the time",
    "STORAGES": "pages are tested without collecting files; tests/test_services.py does as the site does",
    "WHITENOISE_AUTOREFRESH": "likewise: files come from the folders that they are written in",
    "GOLD_EVERY": "gold comes by chance; the tests of gold switch it on",
    "SAME_PERSON_OTHER_TRACK_GAP": "tests draw few people and judge both tracks; the tests of it set it",
    "ANSWER_GUARD_MS": "tests answer at once; those of the guard set it",
}
#: What may differ in the description of the database.
PLACE = ("NAME", "USER", "PASSWORD", "HOST", "PORT")

DATABASES = {
    "default": _SHIPPED["default"] | dict.fromkeys(PLACE, "") | {"NAME": "anyid", "USER": "postgres"}
}
CELERY_BROKER_URL = "memory://"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = _STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
GOLD_EVERY = 0
ANSWER_GUARD_MS = 0
SAME_PERSON_OTHER_TRACK_GAP = 0
