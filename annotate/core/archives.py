"""Answers that are zip files, written while they are sent."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from zipstream import ZipStream  # type: ignore[import-untyped]

ZIP = "application/zip"


def archive_response(archive: ZipStream, name: str) -> StreamingHttpResponse:
    """A sized archive, to be saved under a name."""
    response = StreamingHttpResponse(archive, content_type=ZIP)
    response.headers["Content-Length"] = str(len(archive))
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response
