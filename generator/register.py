"""Look at weights that were made elsewhere: `python -m generator.register RUNDIR [--attached]`.

    request.json    {"stage": "register", "model": {"base", "adapters"}, "adapter": path}; without `adapter`
                    the base itself is looked at
    adapter/        the adapter, as Diffusers reads it
    tokenizer.json  how the base reads prompts, where that is known
    metrics.jsonl   one line a file that is hashed
    result.json     {"base", "weights_sha256", "num_files", "size_bytes", "limit": {"max_tokens", ...} or
                    null, "about": the text of README.md beside the weights, or ""}, and for an adapter
                    {"adapter": "adapter", "form"}

Nothing is downloaded and no weights are put into memory but an adapter's.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator.adapter_files import ADAPTER_FILE
from generator.files import file_sha256, replacing
from generator.model_files import hash_weights, model_folder, weight_files
from generator.prompts.limit import find_limit
from generator.rundir import RunDir, RunError, run_command

TOKENIZER_FILE = "tokenizer.json"
#: Characters of a README that are kept.
MAX_ABOUT = 20_000


def main(run: RunDir, attached: bool) -> None:
    """Look at what the run folder names.

    Raises:
        RunError: it is no such model or adapter; the message names value and remedy.
    """
    with run.open(attached=attached) as request:
        if run.is_done:
            return
        try:
            base = str(request["model"]["base"])
        except (KeyError, TypeError):
            raise RunError(
                f"{run.path / 'request.json'} names no model.base; give a folder or hub id"
            ) from None
        run.truncate_metrics(lambda line: False)
        facts = _look_at_adapter(run, request, base) if "adapter" in request else _look_at_base(run, base)
        run.write_result({**facts, "base": base, "limit": _limit(run, base)})


def read_about(folder: Path) -> str:
    """What the weights' maker says of them in `README.md`; empty where there is no such text."""
    try:
        with (folder / "README.md").open(encoding="utf-8") as file:
            text = file.read(MAX_ABOUT + 1)
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""
    return (
        text if len(text) <= MAX_ABOUT else f"{text[:MAX_ABOUT]}\n\n(The rest is in {folder / 'README.md'}.)"
    )


def _look_at_base(run: RunDir, base: str) -> dict[str, Any]:
    files = weight_files(base)
    digest = hash_weights(files, lambda done: run.append_metrics({"done": done, "total": len(files)}))
    size = sum(file.stat().st_size for file in files.values())
    about = read_about(model_folder(base))
    return {"weights_sha256": digest, "num_files": len(files), "size_bytes": size, "about": about}


def _look_at_adapter(run: RunDir, request: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Keep a copy in Diffusers' form: what is sampled with must not change where it came from."""
    path = run.resolve(request["adapter"])
    if not path.exists():
        raise RunError(f"{path} is not an adapter: nothing is there on this worker; give a file or folder")
    # With torch and Diffusers, which a base alone does not need.
    from generator.model.adapters.adapter import check_fits, read_adapter, write_adapter
    from generator.model.adapters.config import DIFFUSERS
    from generator.model.checkpoint import outline

    adapter = read_adapter(path)
    check_fits(adapter, outline(model_folder(base)))
    target = run.path / "adapter" / ADAPTER_FILE
    target.parent.mkdir(exist_ok=True)
    with replacing(target) as temporary:
        if adapter.form == DIFFUSERS:
            shutil.copyfile(adapter.file, temporary)
        else:
            write_adapter(adapter, temporary)
    run.append_metrics({"done": 1, "total": 1})
    return {
        "weights_sha256": file_sha256(target),
        "num_files": 1,
        "size_bytes": target.stat().st_size,
        "adapter": "adapter",
        "form": adapter.form,
        "about": read_about(adapter.file.parent),
    }


def _limit(run: RunDir, base: str) -> dict[str, Any] | None:
    limit = find_limit(base)
    if limit is None:
        return None
    with replacing(run.path / TOKENIZER_FILE) as temporary:
        Path(temporary).write_text(limit.tokenizer, encoding="utf-8")
    return {
        "max_tokens": limit.max_tokens,
        "special_tokens": limit.special_tokens,
        "tokenizer_sha256": limit.sha256,
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
