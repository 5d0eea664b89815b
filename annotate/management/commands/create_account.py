from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate.accounts.accounts import SIGNING_IN, create_account
from annotate.management.loop_command import LoopCommand
from annotate.models import User


class Command(LoopCommand):
    help = "Make an account and print its first password."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("username")
        parser.add_argument("--role", default=User.Role.ANNOTATOR, choices=SIGNING_IN)

    def run(self, **options: Any) -> dict[str, Any]:
        user, password = create_account(options["username"], options["role"])
        return {"username": user.username, "role": user.role, "password": password}
