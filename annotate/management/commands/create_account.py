from __future__ import annotations

from typing import Any

from annotate.accounts.accounts import SIGNING_IN, create_account
from annotate.management.loop_command import LoopCommand, argument
from annotate.models import User


class Command(LoopCommand):
    help = "Make an account and print its first password."
    arguments = (
        argument("username"),
        argument("--role", default=User.Role.ANNOTATOR, choices=SIGNING_IN),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        user, password = create_account(options["username"], options["role"])
        return {"username": user.username, "role": user.role, "password": password}
