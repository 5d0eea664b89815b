"""A stretch of a file as a file, which the web server sends by itself, at the pace of who asked for it."""

from __future__ import annotations

import io
from typing import BinaryIO


class FilePart(io.RawIOBase):
    """The bytes `start` to `stop` of an open file, which it closes."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file, self.start, self.size = file, start, stop - start
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.place)
        self.file.seek(self.start + self.place)
        part = self.file.read(left if size < 0 else min(size, left))
        self.place += len(part)
        return part

    def close(self) -> None:
        self.file.close()
        super().close()
