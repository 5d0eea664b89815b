"""An export as one file: as it was frozen, or as another trainer reads it.

The file is written while it is sent and kept nowhere, so erasing a person has no further copies to find.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from zipstream import ZipStream  # type: ignore[import-untyped]

from annotate.core.audit import record_event
from annotate.core.files import add_stored
from annotate.models import Export, Use, User
from annotate.privacy.consent import people_in
from annotate.privacy.consent_queries import refusal
from annotate.storage.opening import site_storage
from generator.frozen_set import FrozenSetError
from rlhf.export.formats import ExportFormat, media_of, write_tables
from rlhf.export.freezing import Export as FrozenExport
from rlhf.export.freezing import read_export

#: The files of a set beside its media.
FROZEN = ("manifest.json", "pairs.jsonl", "pairs.parquet")
#: Who reads a file, and what it is.
FORMS = {
    "set": ("As frozen here", "pairs.jsonl, the same as Parquet, manifest"),
    str(ExportFormat.TRL): ("TRL", "preference dataset: prompt, chosen, rejected"),
    str(ExportFormat.DIFFSYNTH): ("DiffSynth-Studio", "metadata.json: prompt, chosen and rejected video"),
    str(ExportFormat.DIFFUSION_DPO): ("Diffusion-DPO", "Parquet as Pick-a-Pic: caption, two videos, labels"),
}


class ExportFileError(Exception):
    """An export cannot be given out; the message names the reason and the remedy."""


def export_zip(export: Export, form: str, actor: User) -> ZipStream:
    """The whole folder as a zip; whoever takes it along is in the audit chain.

    Raises:
        ExportFileError: it was withdrawn, holds no pair or somebody who did not agree to be published, or its
            files are not what was frozen.
    """
    if export.withdrawn:
        raise ExportFileError(f"{export} was withdrawn ({export.withdrawn}); export the round again")
    if says := refusal(people_in(export), Use.PUBLISH):
        raise ExportFileError(f"{says} manage.py export_pairs --publish makes a set without them.")
    archive = ZipStream(sized=True)
    storage = site_storage()
    try:
        with storage.local_folder(export.folder, FROZEN) as folder:
            frozen = read_export(folder, verify_media=False)
            stored = [media.name for media in media_of(frozen)]
            if form == "set":
                stored += FROZEN
            else:
                _add_tables(archive, frozen, ExportFormat(form))
    except FrozenSetError as error:
        raise ExportFileError(str(error)) from None
    sizes = {item.key: item.size_bytes for item in storage.list(export.folder)}
    for name in stored:
        key = f"{export.folder}/{name}"
        if key not in sizes:
            raise ExportFileError(f"{export} lacks {name}; put its folder {export.folder} back")
        add_stored(archive, key, name, sizes[key])
    record_event("download_export", export, actor=actor, form=form)
    return archive


def _add_tables(archive: ZipStream, frozen: FrozenExport, form: ExportFormat) -> None:
    with TemporaryDirectory() as folder:
        write_tables(frozen, Path(folder), form)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            archive.add(file.read_bytes(), str(file.relative_to(folder)))
