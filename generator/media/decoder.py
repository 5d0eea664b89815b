"""Decoding of one video file, frame by frame, within limits and whatever its header claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Self, cast

import av
import av.error
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.filter import Graph
from av.stream import Disposition
from av.video.reformatter import Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from generator.media.formats import DEFAULT_LIMITS, MediaError, MediaFormat, MediaLimits, RejectReason
from generator.media.interlacing import deinterlaced
from generator.media.turning import Turn, turn_of

#: A file that breaks off is still used when this many frames came before the break.
MIN_DAMAGED_FRAMES = 5

#: Without the last three flags swscale darkens a picture by about one level of 255 at every conversion.
SCALING = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
)

#: The colour matrices (ITU-T H.273) that swscale converts; 2, "unspecified", is none of them.
_MATRICES = (0, 1, 4, 5, 6, 7, 9)
_HDR_TRANSFERS = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


class VideoDecoder:
    """Iterate once over the decoded frames of a file; afterwards it knows when each was shown.

    Interlaced frames come out as whole pictures, see `generator.media.interlacing`.

    Args:
        path: the file.
        media_format: as its content tells.
        limits: what it may cost.

    Attributes:
        codec: such as `h264`.
        pixel_format: such as `yuv420p`.
        has_audio: whether there is an audio stream.
        nominal_fps: the rate that the header claims, or None.
        size: width and height of the first frame as a viewer sees it: square pixels, upright.
        rotation: degrees clockwise by which the first frame is turned to stand upright, before any mirroring.
        starts: seconds from the first frame's start to each decoded frame's.
        end: seconds from the first frame's start to the end of the last.
        is_damaged: decoding ended early.

    Raises:
        MediaError: on entering or iterating: no video, unreadable, or beyond the limits.
        OSError: the file cannot be opened.
    """

    def __init__(
        self, path: Path | str, media_format: MediaFormat, limits: MediaLimits = DEFAULT_LIMITS
    ) -> None:
        self._limits, self._format = limits, media_format
        self._converter = VideoReformatter()
        self._graph: Graph | None = None
        self._file = open(path, "rb")  # noqa: SIM115 - closed in __exit__
        try:
            self._container = self._open(media_format)
            self._stream = self._first_video_stream()
        except BaseException:
            self._file.close()
            raise
        self.has_audio = bool(self._container.streams.audio)
        self.codec = self._stream.codec_context.name
        self.pixel_format = self._stream.codec_context.pix_fmt or "unknown"
        self._pixel_aspect = float(self._stream.sample_aspect_ratio or 1)
        self._time_base = self._stream.time_base or Fraction(1, 1_000_000)
        rate = self._stream.guessed_rate
        self.nominal_fps = float(rate) if rate else None
        self.size = (0, 0)
        self.rotation = 0
        self.starts: list[float] = []
        self.end = 0.0
        self.is_damaged = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()
        self._file.close()

    def __iter__(self) -> Iterator[av.VideoFrame]:
        """Decode the frames in the order of showing; stop at the first break in the file."""
        first: float | None = None
        for frame in deinterlaced(self._decode(), self._time_base):
            self._limits.check_picture(frame.width, frame.height)
            # Frames that a decoder held back until the end carry no time base of their own.
            time = self.end + (first or 0.0) if frame.pts is None else float(frame.pts * self._time_base)
            if first is None:
                first = time
                self._note_shape(frame)
            # Times that run backwards are a muxer's mistake; the order of the frames is right.
            start = max(time - first, self.starts[-1] if self.starts else 0.0)
            self.starts.append(start)
            self.end = start + self._duration(frame)
            self._check_length()
            yield frame
        if not self.starts:
            raise MediaError(RejectReason.UNREADABLE, "holds no frame that can be decoded")
        if self.is_damaged and len(self.starts) < MIN_DAMAGED_FRAMES:
            raise MediaError(
                RejectReason.UNREADABLE,
                f"breaks off after {len(self.starts)} frames; {MIN_DAMAGED_FRAMES} are needed",
            )

    def upright_rgb(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Convert a frame to RGB for an ordinary screen, scaled and turned upright.

        Args:
            frame: of this file.
            size: width and height as shown; None takes those of the first frame.

        Returns:
            Shape (height, width, 3).

        Raises:
            MediaError: `unsupported`: no conversion is known for its colours.
        """
        turn = _turn(frame)
        size = size or self.size
        width, height = turn.size(*size)
        try:
            if frame.color_trc in _HDR_TRANSFERS:
                frame = self._to_ordinary_range(frame)
            rgb = self._converter.reformat(
                frame,
                width=width,
                height=height,
                format="rgb24",
                src_colorspace=_colorspace(frame),
                interpolation=SCALING,
                threads=1,
            )
        except av.error.FFmpegError as error:
            detail = f"has colours that cannot be converted: {error.strerror}"
            raise MediaError(RejectReason.UNSUPPORTED, detail) from None
        return turn.apply(np.asarray(rgb.to_ndarray(), np.uint8))

    def _to_ordinary_range(self, frame: av.VideoFrame) -> av.VideoFrame:
        """HDR (phones record it by default) to BT.709, with reference white as white."""
        if self._graph is None:
            self._graph = Graph()
            self._graph.link_nodes(
                self._graph.add_buffer(template=self._stream),
                self._graph.add("scale", "out_color_matrix=bt709:out_primaries=bt709:out_transfer=bt709"),
                self._graph.add("format", "yuv444p10le"),
                self._graph.add("buffersink"),
            ).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _open(self, media_format: MediaFormat) -> InputContainer:
        try:
            return av.open(
                self._file,
                "r",
                format=media_format.value,
                # Some encoders write names in local code pages; nothing here reads them.
                metadata_errors="ignore",
                buffer_size=1 << 18,
                options={"max_pixels": str(self._limits.max_pixels)},
            )
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(
                RejectReason.UNREADABLE, f"cannot be opened as {media_format}: {error.strerror or error}"
            ) from None

    def _first_video_stream(self) -> av.VideoStream:
        for stream in self._container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue  # an album cover, not a video
            if stream.codec_context is None:
                raise MediaError(RejectReason.UNSUPPORTED, "uses a video codec that is not known")
            if stream.width and stream.height:  # some files tell their size only by their frames
                self._limits.check_picture(stream.width, stream.height)
            return stream
        raise MediaError(RejectReason.UNSUPPORTED, "holds no video stream")

    def _decode(self) -> Iterator[av.VideoFrame]:
        # One frame at a time, in one thread: with frame threads a decoder drops broken frames unsaid.
        began = False
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt and (began or not self._is_broadcast):
                    self.is_damaged = True  # the file ends within this packet
                    yield from self._stream.decode(None)
                    return
                for frame in self._decode_packet(packet, began):
                    if frame.is_corrupt:
                        self.is_damaged = True  # the decoder has filled gaps with grey or smeared blocks
                        continue
                    began = True
                    if self._format is MediaFormat.AVI:
                        # It stores no times of showing; guessed ones run backwards. Decoding is as even.
                        frame.pts = frame.dts
                    yield frame
        except (av.error.FFmpegError, OSError) as error:
            if not began:
                raise MediaError(
                    RejectReason.UNREADABLE, f"cannot be decoded: {error.strerror or error}"
                ) from None
            self.is_damaged = True

    @property
    def _is_broadcast(self) -> bool:
        """Whether recordings of this format begin anywhere, mostly between two whole pictures."""
        return self._format in (MediaFormat.MPEG_PS, MediaFormat.MPEG_TS, MediaFormat.MPEG_VIDEO)

    def _decode_packet(self, packet: av.Packet[av.VideoStream], began: bool) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.error.InvalidDataError:
            if began or not self._is_broadcast:
                raise
            return []

    def _note_shape(self, frame: av.VideoFrame) -> None:
        turn = _turn(frame)
        width, height = max(1, round(frame.width * self._pixel_aspect)), frame.height
        self._limits.check_picture(width, height)
        self.size, self.rotation = turn.size(width, height), turn.rotation

    def _duration(self, frame: av.VideoFrame) -> float:
        if frame.duration > 0:
            return float(frame.duration * self._time_base)
        if self.starts[-1]:
            return self.starts[-1] / (len(self.starts) - 1)
        return 1 / (self.nominal_fps or 25.0)

    def _check_length(self) -> None:
        if len(self.starts) > self._limits.max_frames:
            raise MediaError(
                RejectReason.TOO_LARGE, f"has more than {self._limits.max_frames} frames; cut it"
            )
        if self.end > self._limits.max_duration_s:
            raise MediaError(
                RejectReason.TOO_LARGE, f"is longer than {self._limits.max_duration_s:g} s; cut it"
            )


def _turn(frame: av.VideoFrame) -> Turn:
    """How a decoded frame is to be shown."""
    matrix = cast(Mapping[str, Buffer], frame.side_data).get("DISPLAYMATRIX")
    return turn_of(b"" if matrix is None else bytes(matrix))


def _colorspace(frame: av.VideoFrame) -> Colorspace | None:
    """The matrix to assume, or None for the frame's own.

    Browsers take an untagged frame for BT.709 from 720 lines on, and for BT.601 below.
    """
    if frame.colorspace in _MATRICES:
        return None
    return Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
