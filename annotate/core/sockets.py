"""Where the embedded services listen: Unix sockets, reachable only by the account that started them."""

from __future__ import annotations

import hashlib
from pathlib import Path

# The kernel's limit on a socket's path is 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 103
POSTGRES_SOCKET = ".s.PGSQL.5432"
REDIS_SOCKET = "redis.sock"


def socket_folder(folder: Path, socket: str) -> Path:
    """The folder of a service's socket: its own folder, or a short one when that path would be too long.

    It is a function of the folder alone, so every process finds the service without being told.
    """
    if len(bytes(folder / socket)) <= LONGEST_SOCKET_PATH:
        return folder
    return Path("/tmp") / f"anyid-{hashlib.sha256(bytes(folder)).hexdigest()[:16]}"


def postgres_url(folder: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={socket_folder(folder, POSTGRES_SOCKET)}"


def redis_url(folder: Path) -> str:
    return f"redis+socket://{socket_folder(folder, REDIS_SOCKET) / REDIS_SOCKET}"
