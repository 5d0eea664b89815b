"""What Django, its REST framework and Celery are told, the same on every machine."""

from __future__ import annotations

from pathlib import Path

ROOT_URLCONF = "annotate.urls"
WSGI_APPLICATION = "annotate.wsgi.application"
AUTH_USER_MODEL = "annotate.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
# The staff pages print times by these, with their zone.
FORMAT_MODULE_PATH = ["annotate.core.formats"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "django_htmx",
    "template_partials",
    "pgtrigger",
    "annotate",
]

MIDDLEWARE = [
    "annotate.core.security.SmallBodies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "annotate.core.security.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "annotate.core.security.NoNullCharacters",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).resolve().parent.parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Nobody uploads files: what comes in are answers and settings.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

STATIC_URL = "/static/"

# -- security -------------------------------------------------------------------------------------

CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Health checks and metrics are asked for from inside, past the proxy that ends TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]

# -- API ------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotate.core.access.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["annotate.core.strict_json.ShallowJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "annotate.api.paging.Parts",
    "PAGE_SIZE": 100,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Identity-preserving video preferences",
    "DESCRIPTION": "Lease pairs, submit judgments on two tracks, run rounds.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
}

# -- jobs -----------------------------------------------------------------------------------------

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
# What GPU workers say; their own queues are named where they are sent to.
CELERY_TASK_ROUTES = {"annotate.jobs.tasks.take_report": {"queue": "fleet"}}
# A killed worker's task goes back to the queue; one task at a time waits with a worker, never more.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Redis hands an unfinished task to another worker after this time: longer than the longest training,
# since `requeue_lost_runs` finds lost runs much sooner and without doubling live ones.
# Who sends a task to a broker that is away does not wait for it: the row that the task is about stays, and a
# periodic job sends it later.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 7 * 86_400,
    "max_retries": 1,
    "interval_start": 0,
    # Redis keeps a list of each; only whole runs have a priority, their round's.
    "priority_steps": [*range(10)],
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# At shutdown a running task gets a few seconds, then goes back to the queue: its run folder resumes.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 3.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = TIME_ZONE
_EVERY_S = {
    "annotate.jobs.tasks.requeue_lost_runs": 15.0,
    "annotate.jobs.tasks.requeue_lost_shards": 15.0,
    "annotate.background.tasks.requeue_lost_jobs": 15.0,
    "annotate.judging.tasks.fit_votes": 30.0,
    "annotate.rounds.tasks.write_display_copies": 30.0,
    "annotate.rounds.tasks.learn_limits": 15.0,
    "annotate.privacy.tasks.remove_files": 60.0,
    "annotate.people.tasks.requeue_lost_curations": 15.0,
    "annotate.integrations.tasks.send_webhooks": 5.0,
    "annotate.quality.tasks.refresh_figures": 300.0,
    "annotate.quality.tasks.settle_all": 60.0,
    "annotate.integrations.tasks.remove_old_messages": 60.0,
    "annotate.exports.tasks.tidy_files": 60.0,
    "annotate.storage.tasks.remove_leased_copies": 300.0,
    "annotate.tallies.tasks.fold_tallies": 30.0,
}
# A job that no worker took before the next one was due is not wanted any more: they would only pile up.
CELERY_BEAT_SCHEDULE = {
    task.rpartition(".")[2].replace("_", "-"): {
        "task": task,
        "schedule": seconds,
        "options": {"expires": seconds},
    }
    for task, seconds in _EVERY_S.items()
}
