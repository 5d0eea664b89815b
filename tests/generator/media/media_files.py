"""Media files made by code, right ones and broken ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from generator.media.encoder import write_clip
from generator.media.photo import write_photo


def picture(width: int = 64, height: int = 48, *, grey: int = 40) -> NDArray[np.uint8]:
    """Even grey with a red square in the top left corner, so that any turn shows."""
    pixels = np.full((height, width, 3), grey, np.uint8)
    pixels[: height // 3, : width // 3] = (220, 30, 30)
    return pixels


def moving(num_frames: int = 12, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Frame k has the grey level 40 + 10 k outside of the red corner."""
    return np.stack([picture(width, height, grey=40 + 10 * index) for index in range(num_frames)])


def grey_of(frames: NDArray[np.uint8]) -> list[float]:
    """The grey level in the bottom right quarter of each frame."""
    height, width = frames.shape[1:3]
    return [float(frame[height // 2 :, width // 2 :].mean()) for frame in frames]


class MediaMaker:
    """Writes files into one folder; every method gives the path of what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def photo(self, name: str = "photo.png", *, grey: int = 40, size: tuple[int, int] = (64, 48)) -> Path:
        write_photo(self.folder / name, picture(*size, grey=grey))
        return self.folder / name

    def clip(self, name: str = "clip.mp4", *, num_frames: int = 12, fps: float = 8) -> Path:
        write_clip(self.folder / name, moving(num_frames), fps)
        return self.folder / name

    def bytes(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def truncated(self, source: Path, share: float, name: str) -> Path:
        content = source.read_bytes()
        return self.bytes(name, content[: int(len(content) * share)])

    def wide_png(self, width: int, height: int, name: str = "wide.png") -> Path:
        """A PNG that only claims its size: nothing behind the header."""
        tiny = (self.photo("tiny.png")).read_bytes()
        start = tiny.index(b"IHDR")
        header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + tiny[start + 12 : start + 17]
        content = tiny[:start] + header + zlib.crc32(header).to_bytes(4) + tiny[start + 21 :]
        return self.bytes(name, content)

    def audio_only(self, name: str = "audio.mp4") -> Path:
        with av.open(str(self.folder / name), "w") as container:
            stream = container.add_stream("aac", rate=16_000, layout="mono")
            _mux_silence(container, stream)
        return self.folder / name

    def encoded(
        self,
        name: str,
        *,
        frames: NDArray[np.uint8] | None = None,
        times_ms: Sequence[int] | None = None,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        colour: dict[str, int] | None = None,
        turned: int = 0,
        with_audio: bool = False,
        title: tuple[str, str] | None = None,
        codec_options: dict[str, str] | None = None,
        pixel_aspect: Fraction | None = None,
        front_index: bool = False,
    ) -> Path:
        """Encode as other programs may have done.

        Args:
            name: file name; its ending picks the container.
            frames: (F, H, W, 3); default `moving()`.
            times_ms: start of each frame; default 125 ms apart.
            codec: encoder.
            pixel_format: of the stream.
            colour: range, space, trc and primaries by their numbers.
            turned: degrees counterclockwise that the player shall turn the picture.
            with_audio: add a silent track.
            title: metadata text and the code page it is written in.
            codec_options: of the encoder.
            pixel_aspect: width of a pixel over its height.
            front_index: write an MP4's index before its frames.
        """
        frames = moving() if frames is None else frames
        times_ms = [125 * index for index in range(len(frames))] if times_ms is None else times_ms
        colour = colour or {}
        path = self.folder / name
        options = {"movflags": "+faststart"} if front_index else {}
        encoding = title[1] if title else "utf-8"
        with av.open(str(path), "w", metadata_encoding=encoding, options=options) as container:
            if title:
                container.metadata["title"] = title[0]
            stream = container.add_stream(codec, rate=Fraction(1000, times_ms[1] - times_ms[0]))
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixel_format
            context = stream.codec_context
            context.time_base = Fraction(1, 1000)
            context.options = codec_options or ({"crf": "4"} if codec == "libx264" else {})
            _state_colour(context, colour)
            if pixel_aspect:
                context.sample_aspect_ratio = pixel_aspect
            if turned:
                stream.set_display_rotation(turned)
            audio = container.add_stream("aac", rate=16_000, layout="mono") if with_audio else None
            for pixels, time in zip(frames, times_ms, strict=True):
                frame = _coloured(pixels, pixel_format, colour)
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if audio:
                _mux_silence(container, audio)
        return path


def _state_colour(context: Any, colour: dict[str, int]) -> None:
    context.color_range = colour.get("range", 0)
    context.colorspace = colour.get("space", 2)
    context.color_trc = colour.get("trc", 2)
    context.color_primaries = colour.get("primaries", 2)


def _coloured(pixels: NDArray[np.uint8], pixel_format: str, colour: dict[str, int]) -> av.VideoFrame:
    """A frame whose numbers mean what the stream states."""
    spaces = {9: Colorspace.BT2020, 1: Colorspace.ITU709}
    is_full = colour.get("range") == ColorRange.JPEG
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format=pixel_format,
        dst_colorspace=spaces.get(colour.get("space", 2), Colorspace.ITU601),
        dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
    )


def _mux_silence(container: Any, stream: Any) -> None:
    for index in range(8):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 1024 * index, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
