"""Interlaced video into whole pictures: FFmpeg's own detector (idet) and deinterlacer (bwdif).

An interlaced frame holds two moments, one in its even and one in its odd lines; what moves is combed. Each
such frame becomes one picture of its first moment, so that their number and times stay as they are.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

import av
import av.error
from av.filter import Graph

#: Unmarked frames count as interlaced where, of so many in a row, so many are combed and fewer are whole.
EXAMINED, COMBED = 12, 3
#: What the detector answers: the field that comes first.
_FIELDS = ("tff", "bff")
#: Kinds of pixels that the detector reads as they are; screens, which record others, are never interlaced.
_DETECTABLE = ("yuv", "gray", "nv")


def deinterlaced(frames: Iterable[av.VideoFrame], time_base: Fraction) -> Iterator[av.VideoFrame]:
    """The same frames at the same times, those that are interlaced with the lines of one moment filled in.

    A file's own mark is believed where it is set. Many files lack it, so the others are looked at, all the
    way: whoever sits still shows no combs. From the first that are found on, all are deinterlaced. Up to
    `EXAMINED` frames are read ahead. `time_base` is the stream's, for frames that carry none.
    """
    coming = iter(frames)
    waiting: deque[av.VideoFrame] = deque()
    verdicts: deque[str] = deque(maxlen=EXAMINED)
    detector: _Filter | None = None
    for frame in coming:
        waiting.append(frame)
        if frame.interlaced_frame:
            yield from _filled_in(chain(waiting, coming), "deint=interlaced", time_base)
            return
        if frame.format.name.startswith(_DETECTABLE):
            if detector is None or not detector.takes(frame):
                detector = _Filter("idet", "", frame, time_base)
            examined = detector.push(frame)
            verdicts.extend(frame.metadata["lavfi.idet.single.current_frame"] for frame in examined)
        if field := _first_field(verdicts):
            yield from _filled_in(chain(waiting, coming), f"deint=all:parity={field}", time_base)
            return
        if len(waiting) > EXAMINED:
            yield waiting.popleft()
    yield from waiting


def _first_field(verdicts: Iterable[str]) -> str | None:
    """Which field comes first by the detector's verdicts on frames; None where they are not interlaced."""
    counts = Counter(verdicts)
    if sum(counts[field] for field in _FIELDS) < max(COMBED, counts["progressive"] + 1):
        return None
    return max(_FIELDS, key=counts.__getitem__)


def _filled_in(frames: Iterable[av.VideoFrame], options: str, time_base: Fraction) -> Iterator[av.VideoFrame]:
    deinterlacer: _Filter | None = None
    for frame in frames:
        if deinterlacer is None or not deinterlacer.takes(frame):
            if deinterlacer is not None:
                yield from deinterlacer.finish()
            deinterlacer = _Filter("bwdif", f"mode=send_frame:{options}", frame, time_base)
        yield from deinterlacer.push(frame)
    if deinterlacer is not None:
        yield from deinterlacer.finish()


class _Filter:
    """One filter of FFmpeg that gives one frame per frame, later and in order; times stay as they were.

    It takes frames of the size and kind of `like`; `time_base` is for those that carry none.
    """

    def __init__(self, name: str, options: str, like: av.VideoFrame, time_base: Fraction) -> None:
        self._kind = _kind(like)
        self._times: deque[tuple[int | None, int, Fraction | None]] = deque()
        self._graph = Graph()
        self._graph.threads = 1  # starting more takes longer than a clip's filtering
        source = self._graph.add_buffer(
            width=like.width, height=like.height, format=like.format, time_base=time_base
        )
        self._graph.link_nodes(
            source, self._graph.add(name, options), self._graph.add("buffersink")
        ).configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether a frame has the size and kind that the filter was set up for."""
        return _kind(frame) == self._kind

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Give it a frame, and take those that are ready."""
        self._times.append((frame.pts, frame.duration, frame.time_base))
        self._graph.vpush(frame)
        yield from self._ready()

    def finish(self) -> Iterator[av.VideoFrame]:
        """Take the rest."""
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            frame.pts, frame.duration, time_base = self._times.popleft()
            if time_base is not None:
                frame.time_base = time_base
            yield frame


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
