"""The product's settings, with what only tests want."""

from annotate.settings import *  # noqa: F403

DEBUG = False
SECRET_KEY = "only for tests, where nothing is signed that lasts"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
# One setting that is worth a factor of six: tests sign in all the time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CELERY_BROKER_URL = "memory://"
WHITENOISE_AUTOREFRESH = True
# tests/conftest.py puts the address of its own PostgreSQL and its own folders in place of these.
DATABASES = {"default": {"ENGINE": "annotate.database", "NAME": "anyid", "USER": "postgres"}}
# Gold comes by chance; the tests of gold switch it on.
GOLD_EVERY = 0
# Tests draw few people and judge both tracks of them; the tests of this distance set it.
SAME_PERSON_OTHER_TRACK_GAP = 0
