"""What a media file is, how large it may be, and why it may be refused.

The content of a file decides what it is, never its name: a clip called `photo.jpg` is a clip, and a web page
called `photo.png` is a web page. Only formats named here ever reach a decoder, and each decoder is told its
format, so that no file can make FFmpeg guess a playlist and open other files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]")
#: Video that is refused with a remedy, by its first bytes.
_OTHER_VIDEO = {
    b"FLV": "Flash video (FLV)",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "Windows Media (WMV or ASF)",
    b"OggS": "Ogg",
    b".RMF": "RealMedia",
    b"\x06\x0e\x2b\x34": "MXF",
    b"\x1f\x07\0": "raw DV",
    b"\0\0\0\1": "a raw H.264 or HEVC stream",
    b"\0\0\1": "a raw H.264 or HEVC stream",
}
#: A transport stream's packets begin with this byte: of 188 bytes, on camcorders' discs (M2TS) 192, with
#: error correction 204.
_TS_SYNC, _TS_PACKETS = 0x47, (188, 192, 204)
#: Packets in a row that tell a transport stream.
_TS_NEEDED = 5


class RejectReason(StrEnum):
    """Why a file is not used."""

    UNREADABLE = "unreadable"
    UNSAFE = "unsafe"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    TOO_SHORT = "too_short"
    DUPLICATE = "duplicate"
    NO_FACE = "no_face"
    MULTI_FACE = "multi_face"
    SMALL_FACE = "small_face"
    BLURRED = "blurred"
    EXTREME_POSE = "extreme_pose"
    HIDDEN = "hidden"
    MISPLACED = "misplaced"
    MISSING = "missing"
    ALTERED = "altered"
    BAD_NAME = "bad_name"
    BAD_CARD = "bad_card"


class MediaError(ValueError):
    """A file cannot be used.

    Attributes:
        reason: for counting.
        detail: one line for a person.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason = reason
        self.detail = " ".join(detail.split())
        super().__init__(f"{reason}: {self.detail}")


class MediaKind(StrEnum):
    """Still or moving."""

    IMAGE = "image"
    VIDEO = "video"


class MediaFormat(StrEnum):
    """The file formats that are read; the values are the decoders' own names."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    MOV = "mov"
    MATROSKA = "matroska"
    AVI = "avi"
    MPEG_PS = "mpeg"
    MPEG_TS = "mpegts"
    MPEG_VIDEO = "mpegvideo"

    @property
    def kind(self) -> MediaKind:
        """Still or moving."""
        is_still = self in (MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP)
        return MediaKind.IMAGE if is_still else MediaKind.VIDEO


@dataclass(frozen=True)
class MediaLimits:
    """What a file may cost to open."""

    max_bytes: int = 1 << 30  # of the file
    max_side: int = 16_384  # pixels, of the longer side
    max_pixels: int = 64_000_000  # of one picture or frame
    min_frames: int = 1  # decoded frames that a video needs
    max_frames: int = 18_000  # decoded frames of a video
    max_duration_s: float = 600.0  # of a video
    max_clip_bytes: int = 4 << 30  # memory of the frames that one call may return

    def check_picture(self, width: int, height: int) -> None:
        """Refuse a picture by its stated size, before any of it is decoded.

        Raises:
            MediaError: `too_large`, or `unreadable` where the size is not a size.
        """
        if width < 1 or height < 1:
            raise MediaError(RejectReason.UNREADABLE, f"states a size of {width}x{height} pixels")
        if max(width, height) > self.max_side:
            raise MediaError(
                RejectReason.TOO_LARGE, f"is {width}x{height} pixels; no side may exceed {self.max_side}"
            )
        if width * height > self.max_pixels:
            raise MediaError(
                RejectReason.TOO_LARGE,
                f"is {width}x{height} pixels; {self.max_pixels / 1e6:.0f} million are allowed",
            )


DEFAULT_LIMITS = MediaLimits()


@dataclass(frozen=True)
class MediaFacts:
    """What decoding a whole file showed."""

    kind: MediaKind
    width: int  # pixels as shown, that is after rotation and with square pixels
    height: int  # pixels as shown
    num_frames: int  # frames that were decoded; 1 for a still
    fps: float  # frames per second on average, `num_frames / duration_s`; 0 for a still
    duration_s: float  # seconds from the first frame to the end of the last; 0 for a still
    codec: str  # such as `h264` or `jpeg`
    pixel_format: str  # such as `yuv420p`, or Pillow's mode of a still
    has_audio: bool  # whether there is an audio stream
    rotation: int  # degrees clockwise by which the stored picture is turned to stand upright: 0, 90, 180, 270
    size_bytes: int  # of the file
    sha256: str
    is_damaged: bool = False  # decoding ended early; `num_frames` counts what came before

    @property
    def normal_suffix(self) -> str:
        """Name ending for the normalised copy: lossless pictures stay lossless."""
        if self.kind is MediaKind.VIDEO:
            return ".mp4"
        return ".png" if self.codec == MediaFormat.PNG else ".jpg"


def detect_format(path: Path | str, limits: MediaLimits = DEFAULT_LIMITS) -> MediaFormat:
    """Tell the format of a regular file by its first bytes; of the limits only `max_bytes` counts here.

    Raises:
        MediaError: empty, too large, no known format, or text that a browser or a decoder would act on.
        OSError: it cannot be opened.
    """
    size = os.path.getsize(path)
    if size > limits.max_bytes:
        raise MediaError(RejectReason.TOO_LARGE, f"has {size} bytes; {limits.max_bytes} are allowed")
    with open(path, "rb") as file:
        head = file.read(2048)
    if not head:
        raise MediaError(RejectReason.UNREADABLE, "is empty (0 bytes)")
    if known := _known_format(head):
        return known
    raise _why_unknown(head)


#: What a file of each format begins with.
_STARTS = {
    b"\xff\xd8\xff": MediaFormat.JPEG,
    b"\x89PNG\r\n\x1a\n": MediaFormat.PNG,
    b"\x1a\x45\xdf\xa3": MediaFormat.MATROSKA,
    b"\0\0\1\xba": MediaFormat.MPEG_PS,
    b"\0\0\1\xb3": MediaFormat.MPEG_VIDEO,
}


def _known_format(head: bytes) -> MediaFormat | None:
    for start, known in _STARTS.items():
        if head.startswith(start):
            return known
    if head[:4] == b"RIFF":
        return {b"WEBP": MediaFormat.WEBP, b"AVI ": MediaFormat.AVI}.get(head[8:12])
    if head[4:8] in _MP4_BOXES and head[8:12] not in _HEIF_BRANDS:
        return MediaFormat.MOV
    return MediaFormat.MPEG_TS if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets follow each other, wherever a recording was cut."""
    return any(
        all(head[at] == _TS_SYNC for at in range(start, start + _TS_NEEDED * size, size))
        for size in _TS_PACKETS
        for start in range(min(size, len(head) - (_TS_NEEDED - 1) * size))
    )


def _why_unknown(head: bytes) -> MediaError:
    if head[4:8] == b"ftyp":
        return MediaError(RejectReason.UNSUPPORTED, "is a HEIC or AVIF picture; save it as JPEG or PNG")
    text = head.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n").lower()
    if text.startswith(b"<"):
        return MediaError(RejectReason.UNSAFE, "is markup (SVG, HTML or XML), which a browser may run")
    if text.startswith(_PLAYLISTS):
        return MediaError(RejectReason.UNSAFE, "is a playlist, which names other files to open")
    if head.startswith((b"GIF8", b"BM", b"II*\0", b"MM\0*")):
        return MediaError(RejectReason.UNSUPPORTED, "is a GIF, BMP or TIFF; save it as PNG, JPEG or MP4")
    for start, name in _OTHER_VIDEO.items():
        if head.startswith(start):
            return MediaError(
                RejectReason.UNSUPPORTED, f"is {name}; save it as MP4: ffmpeg -i FILE -c:v libx264 clip.mp4"
            )
    return MediaError(
        RejectReason.UNSUPPORTED,
        "is none of JPEG, PNG, WebP, MP4, MOV, MKV, WebM, AVI, MPEG-PS or MPEG-TS by its content; "
        "save it as one of them",
    )
