"""The application, and the checks that run before every command."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import django_stubs_ext
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate

from annotate.storage.address import FolderAddress

#: Files 640 and folders 750 at most: faces are personal data.
STORAGE_UMASK = 0o027

# Lets `admin.ModelAdmin[User]` and the like, which the type checker asks for, run.
django_stubs_ext.monkeypatch()


class AnnotateConfig(AppConfig):
    name = "annotate"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Tasks are sent through the configured app only once it exists, in the web as in the workers.
        from annotate import celery  # noqa: F401
        from annotate.background import kinds
        from annotate.database import lookups, triggers
        from annotate.jobs import stages

        lookups.register()
        post_migrate.connect(triggers.replace_should_ignore, sender=self)
        stages.discover()
        kinds.discover()

        # What this process and its commands write, nobody but the account and its group can read.
        os.umask(STORAGE_UMASK)
        checks.register(check_database)
        checks.register(check_storage)
        checks.register(check_model)
        checks.register(check_site, checks.Tags.security, deploy=True)


def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine == "annotate.database":
        return []
    return [
        checks.Error(
            f"The database is {engine}, not PostgreSQL.", hint="Fix DATABASE_URL.", id="annotate.E001"
        )
    ]


def check_storage(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """A folder that does not exist yet is fine: the supervisor makes it.

    A bucket is asked nothing: its connections do not outlive the fork of a server into its processes.
    """
    if not isinstance(settings.STORAGE, FolderAddress):
        return []
    root = settings.STORAGE.folder
    if not root.exists():
        return []
    if root.is_dir() and os.access(root, os.W_OK | os.X_OK):
        return _open_storage(root)
    return [
        checks.Error(
            f"{root} is not a folder that this account can write.",
            hint="Change its owner, or set STORAGE_URL to another folder.",
            id="annotate.E002",
        )
    ]


def _open_storage(root: Path) -> list[checks.CheckMessage]:
    """Whoever cannot pass the folder reaches nothing in it, whatever the modes inside are."""
    mode = stat.S_IMODE(root.stat().st_mode)
    if not mode & STORAGE_UMASK:
        return []
    return [
        checks.Error(
            f"{root} has mode {mode:o}, so other accounts of this machine can get at people's faces.",
            hint=f"Run: chmod -R g-w,o-rwx {root}",
            id="annotate.E003",
        )
    ]


def check_model(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """A folder must be a pipeline in the Diffusers layout; anything else is taken as a hub id."""
    path = Path(settings.MODEL_PATH)
    is_folder = path.is_absolute() or settings.MODEL_PATH.startswith(".") or path.exists()
    if not is_folder or (path / "model_index.json").is_file():
        return []
    return [
        checks.Warning(
            f"MODEL_PATH={settings.MODEL_PATH} holds no model_index.json, so nothing can be sampled here.",
            hint="Name a folder in the Diffusers layout. A web server without workers may ignore this.",
            id="annotate.W001",
        )
    ]


def check_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.IS_HTTPS or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "The site answers to every host name over plain HTTP.",
            hint="Set SITE_URL to its https:// address.",
            id="annotate.W002",
        )
    ]
