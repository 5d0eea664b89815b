"""The bucket of the embedded S3 server, and who may use it."""

from __future__ import annotations

import json
import os
from pathlib import Path

BUCKET = "anyid"
#: In the server's folder, as it reads it.
IDENTITIES_FILE = "identities.json"


def embedded_address(port: int) -> str:
    return f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}&style=path"


def embedded_credentials(folder: Path) -> dict[str, str]:
    """Made with the server's first start; none before that."""
    try:
        (identity,) = json.loads((folder / IDENTITIES_FILE).read_text(encoding="utf-8"))["identities"]
    except FileNotFoundError:
        return {}
    (key,) = identity["credentials"]
    return {"access_key_id": key["accessKey"], "secret_access_key": key["secretKey"]}


def write_credentials(folder: Path, key: str, secret: str) -> None:
    """Write who may use a server, once, for the eyes of its account alone."""
    if (folder / IDENTITIES_FILE).exists():
        return
    credentials = [{"accessKey": key, "secretKey": secret}]
    identity = {"name": "site", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    unfinished = folder / f"{IDENTITIES_FILE}.new"
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"identities": [identity]}, file)
    unfinished.replace(folder / IDENTITIES_FILE)
