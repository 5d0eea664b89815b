#!/usr/bin/env python3
"""Django's commands: `python manage.py help`."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError, connection


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotate.settings")
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if connection.connection is not None:
            raise
        reason = str(error).strip().splitlines()[-1].strip()
        sys.exit(
            f"error: the database does not answer ({reason}); run `make serve` in another terminal, "
            f"or this command as: python -m annotate.supervisor run {' '.join(sys.argv)}"
        )


if __name__ == "__main__":
    main()
