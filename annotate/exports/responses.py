"""A file of judgments as a response."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from annotate.core.files import stored_file
from annotate.exports.downloads import file_path
from annotate.models import FileFormat, JudgmentFile

#: Of files of judgments.
MEDIA_TYPES = {
    FileFormat.JSONL: "application/gzip",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}


def judgment_file(request: HttpRequest, file: JudgmentFile) -> HttpResponseBase:
    """A file of judgments under its own name, whole or in part.

    Raises:
        DownloadError: it is not whole yet, or not there any more.
    """
    response = stored_file(request, file_path(file))
    response.headers["Content-Disposition"] = f'attachment; filename="judgments-{file.pk}{file.suffix}"'
    response.headers["Content-Type"] = MEDIA_TYPES[FileFormat(file.file_format)]
    response.headers["ETag"] = f'"{file.sha256}"'
    return response
