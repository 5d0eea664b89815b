"""The environment becomes settings, here and nowhere else. Importing this file creates and starts nothing.

Each variable is read once, together with the sentence that explains it. `make settings` writes
docs/settings.md and .env.example from these sentences. What no variable changes is in annotate/framework.py.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from annotate.core.browser_policy import content_security_policy
from annotate.core.environment import (
    Environment,
    SettingError,
    broker_tls,
    cache_from_broker,
    database_from_url,
    storage_from_url,
)
from annotate.core.sockets import postgres_url, redis_url
from annotate.framework import *  # noqa: F403
from annotate.storage.address import FolderAddress
from annotate.storage.embedded import embedded_address, embedded_credentials
from generator.curation.filters import Thresholds
from generator.curation.settings import CurationSettings, DetectorSettings

env = Environment(os.environ)

BASE_DIR = Path(__file__).resolve().parent.parent
env.section = "Process"
VAR_DIR = Path(
    env.text("VAR_DIR", str(BASE_DIR / "var"), "Folder for everything that the program makes.", shown="var")
).resolve()
DEBUG = env.flag("DEBUG", "Django's debug pages; never in production.")
LOG_LEVEL = env.one_of(
    "LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "The least severe log messages to print."
)

# Of the commands that compute: no secret, and threads that sleep while they wait. On a machine with other
# work, spinning ones made sampling three times slower.
_SECRETS = ("DATABASE_URL", "CELERY_BROKER_URL", "CACHE_URL", "SECRET_KEY", "FLEET_KEY")
RUN_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"} | {
    name: value
    for name, value in os.environ.items()
    if name.removesuffix("_FILE") not in _SECRETS and not name.startswith("AWS_")
}

# -- services: what is not named in the environment is embedded -----------------------------------

env.section = "Services"
POSTGRES_DIR = VAR_DIR / "postgres"
REDIS_DIR = VAR_DIR / "redis"
_database_url = env.url(
    "DATABASE_URL",
    ("postgresql", "postgres"),
    "postgresql://user:password@host:5432/anyid",
    "PostgreSQL. Options after a ? override ours (see docs/operating.md).",
    shown="embedded PostgreSQL",
)
_REDIS = ("redis", "rediss", "redis+socket")
_broker_url = env.url(
    "CELERY_BROKER_URL",
    (*_REDIS, "amqp", "amqps"),
    "rediss://host:6379/0",
    "Redis or RabbitMQ, for jobs; rediss:// and amqps:// go over TLS (see docs/operating.md).",
    shown="embedded Redis",
)
_cache_url = env.url("CACHE_URL", _REDIS, "redis://host:6379/1", "Redis, for the cache.", shown="the broker")
if _broker_url.startswith("amqp") and _database_url and not _cache_url:
    raise SettingError("CELERY_BROKER_URL is no Redis, which the cache needs; set CACHE_URL to one")
EMBEDDED_POSTGRES = not _database_url
EMBEDDED_REDIS = not _broker_url

_database = database_from_url("DATABASE_URL", _database_url or postgres_url(POSTGRES_DIR, "anyid"))
# The statements of a vote take longer to plan than to do: one that comes again on a connection is prepared.
# For that its values go beside the text, since no two texts with values in them are the same.
_database["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 2} | _database["OPTIONS"]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, **_database}
}

_storage_url = env.text(
    "STORAGE_URL",
    (VAR_DIR / "storage").as_uri(),
    "Folder (file:///srv/anyid) or bucket (s3://...) of all files, which web and workers share; "
    "embedded-s3 starts an S3 server on this machine.",
    shown="VAR_DIR/storage",
)
S3_DIR = VAR_DIR / "s3"
S3_PORT = env.integer(
    "S3_PORT", 8333, "First of the eight ports of the embedded S3 server.", low=1, high=65528
)
EMBEDDED_S3 = _storage_url == "embedded-s3"
STORAGE = storage_from_url("STORAGE_URL", embedded_address(S3_PORT) if EMBEDDED_S3 else _storage_url)
# With a bucket, what folders of runs are made in, on their way there.
STORAGE_ROOT = STORAGE.folder if isinstance(STORAGE, FolderAddress) else VAR_DIR / "new-runs"
STORAGE_CREDENTIALS = {
    "access_key_id": env.secret("AWS_ACCESS_KEY_ID", "Key of the bucket.", shown="role of the machine"),
    "secret_access_key": env.secret("AWS_SECRET_ACCESS_KEY", "Secret of that key.", shown=""),
    "session_token": env.secret("AWS_SESSION_TOKEN", "Only where the key is temporary.", shown=""),
}
if EMBEDDED_S3:
    STORAGE_CREDENTIALS = embedded_credentials(S3_DIR)
STORAGE_CACHE_GB = env.integer(
    "STORAGE_CACHE_GB", 20, "Gigabytes of a bucket's files kept in VAR_DIR/cache.", low=0, high=100_000
)
MEDIA_DELIVERY = env.one_of(
    "MEDIA_DELIVERY",
    ("web", "proxy", "redirect"),
    "web",
    "Who sends clips: this site, the proxy before it, or the bucket (see docs/operating.md).",
)
if MEDIA_DELIVERY == "redirect" and not STORAGE.origin:
    raise SettingError("MEDIA_DELIVERY=redirect needs a bucket in STORAGE_URL; use web or proxy")

# -- the site's address and secrets -----------------------------------------------------------------

env.section = "Address and secrets"
BIND = env.text("BIND", "127.0.0.1", "Address that the web server listens on.")
PORT = env.integer("PORT", 8000, "Port that the web server listens on.", low=1, high=65535)
SITE_URL = env.url(
    "SITE_URL",
    ("http", "https"),
    "https://annotate.example.org",
    "Address that people type; https:// turns on secure cookies and the redirect from http.",
    shown="http://127.0.0.1:PORT",
).rstrip("/")
SITE_URL = SITE_URL or f"http://127.0.0.1:{PORT}"
_site = urlsplit(SITE_URL)
if not _site.hostname or _site.path or _site.query:
    raise SettingError(
        f"SITE_URL={SITE_URL!r} is not a bare address; write it like https://annotate.example.org"
    )
IS_HTTPS = _site.scheme == "https"

ALLOWED_HOSTS = env.names(
    "ALLOWED_HOSTS",
    [_site.hostname, "127.0.0.1", "localhost"],
    "Host names that the site answers to.",
    shown="host of SITE_URL, 127.0.0.1 and localhost",
)
CSRF_TRUSTED_ORIGINS = env.names(
    "CSRF_TRUSTED_ORIGINS", [SITE_URL], "Origins from which forms are accepted.", shown="SITE_URL"
)
for _origin in CSRF_TRUSTED_ORIGINS:
    if not _origin.startswith(("http://", "https://")):
        raise SettingError(f"CSRF_TRUSTED_ORIGINS={_origin!r} has no scheme; write it like https://{_origin}")


def _secret_key() -> str:
    key = env.secret(
        "SECRET_KEY",
        "Signs sessions and derives annotator pseudonyms; 32 characters or more, the same on every machine.",
        shown="made once, in VAR_DIR/secret",
    )
    if key:
        if len(key) < 32:
            raise SettingError(
                f"SECRET_KEY has {len(key)} characters, it needs 32 or more; run: openssl rand -hex 32"
            )
        return key
    if _database_url and not DEBUG:
        raise SettingError(
            "SECRET_KEY is not set and DATABASE_URL is: every machine of the site needs the same one; "
            "run: openssl rand -hex 32"
        )
    try:
        return (VAR_DIR / "secret").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        # Nothing is being served yet (the supervisor makes the file first), so nothing is signed to last.
        return secrets.token_urlsafe(48)
    except OSError as error:
        raise SettingError(
            f"VAR_DIR={str(VAR_DIR)!r} cannot be used ({error.strerror}); change its owner, or name another"
        ) from None


SECRET_KEY = _secret_key()
FLEET_KEY = env.secret(
    "FLEET_KEY",
    "Signs messages between the site and its GPU workers, which need no SECRET_KEY; 32 characters or more.",
    shown="derived from SECRET_KEY",
)
if len(FLEET_KEY := FLEET_KEY or hmac.new(SECRET_KEY.encode(), b"fleet", "sha256").hexdigest()) < 32:
    raise SettingError("FLEET_KEY has fewer than 32 characters; run: openssl rand -hex 32")

# -- the product --------------------------------------------------------------------------------

env.section = "Judging"
LEASE_S = env.integer(
    "LEASE_S", 900, "Seconds for which a pair stays reserved for one annotator.", low=30, high=86_400
)
UNDO_S = env.integer("UNDO_S", 600, "Seconds for which an answer can be changed.", low=0, high=86_400)
ANSWER_GUARD_MS = env.integer(
    "ANSWER_GUARD_MS",
    400,
    "Milliseconds after a pair appears in which no answer is taken.",
    low=0,
    high=60_000,
)
DISPLAY_ENCODING = env.one_of(
    "DISPLAY_ENCODING",
    ("full", "lean"),
    "full",
    "What annotators see of videos wanted from now on: all detail, or fewer bytes for slow connections "
    "(see docs/operating.md).",
)
WATCH_GATE = {
    track: env.integer(
        f"WATCH_GATE_{track.upper()}",
        0,
        f"Percentage of each video that must be watched before an answer on the {track} track; "
        "above 0, nobody can vote without JavaScript.",
        low=0,
        high=100,
    )
    for track in ("identity", "controllability")
}
SESSION_BREAK_MIN = env.integer(
    "SESSION_BREAK_MIN", 20, "Minutes of judging after which a break is suggested.", low=1, high=1440
)
SESSION_LIMIT_MIN = env.integer(
    "SESSION_LIMIT_MIN",
    30,
    "Minutes after which the page insists on a break; 0 for no limit.",
    low=0,
    high=1440,
)
env.renamed("MAX_PAIRS_A_PERSON", "MAX_PAIRS_PER_ANNOTATOR")
env.renamed("MAX_PAIRS_A_PERSON_AND_IDENTITY", "MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY")
MAX_PAIRS_PER_ANNOTATOR = env.integer(
    "MAX_PAIRS_PER_ANNOTATOR", 0, "Pairs per annotator in a round; 0 for no limit.", low=0, high=1_000_000
)
MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY = env.integer(
    "MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY",
    0,
    "Pairs per annotator and identity in a round; 0 for no limit.",
    low=0,
    high=1_000_000,
)
SAME_PERSON_OTHER_TRACK_GAP = env.integer(
    "SAME_PERSON_OTHER_TRACK_GAP",
    20,
    "Pairs between meeting an identity on one track and on the other; 0 for no gap.",
    low=0,
    high=10_000,
)
LEADS_MAY_VOTE = env.flag(
    "LEADS_MAY_VOTE", "Whether leads may vote, although they see which model made what."
)

env.section = "Quality control"
GOLD_EVERY = env.integer(
    "GOLD_EVERY", 12, "One pair in this many is gold, on average; 0 for none.", low=0, high=10_000
)
QUALIFY = env.integer(
    "QUALIFY", 0, "Training pairs per track before an annotator's first vote; 0 for none.", low=0, high=50
)
QUALIFY_PASS = env.integer(
    "QUALIFY_PASS", 80, "Percentage of the training pairs that must be right.", low=1, high=100
)
QUALIFY_WAIT_H = env.integer(
    "QUALIFY_WAIT_H", 24, "Hours before a failed qualification may be repeated.", low=0, high=8760
)

env.section = "Integrations and files"
DOWNLOAD_DAYS = env.integer(
    "DOWNLOAD_DAYS",
    7,
    "Days for which judgment files and delivered webhook messages are kept.",
    low=1,
    high=365,
)
ALLOW_PRIVATE_WEBHOOKS = env.flag(
    "ALLOW_PRIVATE_WEBHOOKS", "Whether webhooks may go to loopback and private addresses."
)

env.section = "Models and training"
_SHIPPED = str(BASE_DIR / "generator" / "portraits" / "checkpoint")
MODEL_PATH = env.text(
    "MODEL_PATH",
    _SHIPPED,
    "First base model: a folder in the Diffusers layout, or a hub id that the workers have: org/name.",
    shown="the shipped tiny model",
)
# The tiny model's operations are too small for several threads; of a larger model one copy fills the memory.
CPU_DEVICES = env.integer(
    "CPU_DEVICES",
    min(4, os.cpu_count() or 1) if MODEL_PATH == _SHIPPED else 1,
    "Devices that a CPU without a GPU counts as: so many processes work on shards there, each with its own "
    "model in memory, and over so many a training may be spread.",
    low=1,
    high=64,
    shown="1; with the shipped tiny model one per core, up to 4",
)
APPROVE_ROUNDS = env.flag(
    "APPROVE_ROUNDS", "Whether a training (SFT, DPO) starts only after a second lead approves it."
)
PROMPT_MODELS = env.path(
    "PROMPT_MODELS", "JSON file of the models that write differential prompts (see docs/prompts.md)."
)
EVALUATION_METRICS = env.path(
    "EVALUATION_METRICS",
    "JSON file of the evaluation metrics and their settings; without it, oracle and quality "
    "(see docs/evaluation.md).",
)

env.section = "Curation"
_face_detector = env.one_of(
    "FACE_DETECTOR", ("haar", "yunet", "insightface", "mediapipe"), "haar", "Detector of faces."
)
_human_detector = env.one_of(
    "HUMAN_DETECTOR",
    ("estimated", "transformers"),
    "estimated",
    "Detector of bodies; estimated derives them from the faces.",
)
_detector_models = env.path(
    "DETECTOR_MODELS", "Folder of detector and metric weights, with its weights.json."
)
if not _detector_models and (_face_detector, _human_detector) != ("haar", "estimated"):
    raise SettingError(
        "FACE_DETECTOR or HUMAN_DETECTOR needs weights and DETECTOR_MODELS is not set; name their folder"
    )
DETECTORS = DetectorSettings(
    faces=_face_detector,
    humans=_human_detector,
    models=_detector_models,
    allow_non_commercial=env.flag(
        "ALLOW_NON_COMMERCIAL", "Whether weights that forbid commercial use may be loaded."
    ),
)
CURATION = CurationSettings(
    max_frames=env.integer(
        "CURATION_FRAMES", 48, "Most frames per clip that the detectors examine.", low=1, high=18_000
    )
)
try:
    THRESHOLDS = Thresholds(
        **env.numbers(
            "THRESHOLDS",
            asdict(Thresholds()),
            "Initial filter thresholds, such as min_face_px=64,max_yaw=45; leads change them later.",
            shown="those of the filters",
        )
    )
except ValueError as _error:
    raise SettingError(f"THRESHOLDS={os.environ['THRESHOLDS'].strip()!r} cannot be used: {_error}") from None

# -- what Django and Celery are told of this machine --------------------------------------------------

STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": STORAGE_ROOT},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

CELERY_BROKER_URL = _broker_url or redis_url(REDIS_DIR)
CELERY_BROKER_USE_SSL = broker_tls(CELERY_BROKER_URL)
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": cache_from_broker(_cache_url or CELERY_BROKER_URL),
        "KEY_PREFIX": "cache",
    }
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
CONTENT_SECURITY_POLICY = content_security_policy(STORAGE.origin if MEDIA_DELIVERY == "redirect" else "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
            "datefmt": "%Y-%m-%d %H:%M:%S %Z",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # Celery and gunicorn would otherwise print their lines twice.
    "loggers": {"django": {"handlers": [], "level": LOG_LEVEL, "propagate": True}},
}
