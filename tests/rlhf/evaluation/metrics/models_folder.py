"""A folder of models with its manifest, as people write one."""

from __future__ import annotations

import json
from pathlib import Path

from generator.curation.weights import weights_sha256


def noted(folder: Path, name: str, weights: str, **changes: object) -> Path:
    """Note a file or folder that lies in `folder`."""
    manifest = folder / "weights.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    entries[name] = {
        "file": weights,
        "sha256": weights_sha256(folder / weights),
        "source": f"https://example.org/{name}",
        "licence": "Apache-2.0",
        "non_commercial": False,
    } | changes
    manifest.write_text(json.dumps(entries))
    return folder
