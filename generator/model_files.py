"""The files of a base model in the Diffusers layout: where they are on this machine, and their hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generator.files import file_sha256

INDEX_FILE = "model_index.json"
#: The transformers that references can be given to; a variant such as VACE has other inputs.
TRANSFORMERS = ("WanTransformer3DModel", "AnyIDTransformer")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_id(base: str) -> bool:
    """Whether a text has the shape of a hub id, such as org/name."""
    return _HUB_ID.fullmatch(base) is not None


def model_folder(base: str | Path) -> Path:
    """The folder of a base; of a hub id its copy in the local cache. Nothing is downloaded.

    Raises:
        ValueError: there is none on this machine.
    """
    folder = Path(base)
    if folder.is_dir():
        return folder
    if not is_hub_id(str(base)):
        raise ValueError(f"{base} is no folder here; name one in the Diffusers layout, or a hub id: org/name")
    from huggingface_hub import snapshot_download  # slow to load, and hardly ever asked
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(base), local_files_only=True))
    except LocalEntryNotFoundError:
        raise ValueError(
            f"{base} is no folder here and not in the local cache of the hub; nothing is downloaded "
            f"unasked, so fetch it on this machine first: hf download {base}"
        ) from None


def weight_files(base: str | Path) -> dict[str, Path]:
    """The safetensors of every part that `model_index.json` names, by their names inside the folder, sorted.

    Raises:
        ValueError: the folder is no such model, or a part of it is missing or has no safetensors.
    """
    folder = model_folder(base)
    files: list[Path] = []
    for part in _parts(base, folder):
        subfolder = folder / part
        if not subfolder.is_dir():
            raise ValueError(f"{base} has no {part}/, which its {INDEX_FILE} names; copy the model again")
        weights = sorted(subfolder.rglob("*.safetensors"))
        if not weights and (subfolder / "config.json").is_file():
            raise ValueError(
                f"{base}: {part}/ has no safetensors; save it with safe_serialization=True: a pickle can run "
                "programs"
            )
        files += weights
    return {str(file.relative_to(folder)): file for file in sorted(files)}


def _parts(base: str | Path, folder: Path) -> list[str]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{base} has no {INDEX_FILE}; name a folder in the Diffusers layout, not a single file or part"
        ) from None
    except ValueError as error:
        raise ValueError(f"{base}: {INDEX_FILE} is no JSON ({error}); copy the model again") from None
    parts = {name: value[1] for name, value in index.items() if isinstance(value, list) and value[-1]}
    if parts.get("transformer") not in TRANSFORMERS:
        raise ValueError(
            f"{base} has {parts.get('transformer', 'no')!r} as its transformer; a base is a Wan model, with "
            f"{TRANSFORMERS[0]}"
        )
    return sorted(parts)


def hash_weights(files: dict[str, Path], on_file: Callable[[int], None] = lambda done: None) -> str:
    """Sha256 (hex) over the names and hashes of `weight_files`, in their order.

    Args:
        files: by name.
        on_file: told how many are hashed.
    """
    digest = hashlib.sha256()
    for done, (name, file) in enumerate(files.items(), start=1):
        digest.update(name.encode())
        digest.update(file_sha256(file).encode())
        on_file(done)
    return digest.hexdigest()
