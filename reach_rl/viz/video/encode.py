"""Pictures to MP4 (H.264, yuv420p, plays everywhere) by ffmpeg, published whole or not at all."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np


class VideoError(RuntimeError):
    """No film can be made on this machine; the message says what to install."""


def ffmpeg() -> str:
    """Path of the program: that of imageio-ffmpeg, or the system's. Raises VideoError."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
    if found is None:
        raise VideoError("no ffmpeg: pip install imageio-ffmpeg, or apt-get install ffmpeg")
    return found


class Encoder:
    """Takes the frames of one film, one after the other."""

    def __init__(self, pipe: IO[bytes], shape: tuple[int, int, int]) -> None:
        """Write to ffmpeg."""
        self._pipe = pipe
        self._shape = shape

    def add(self, frame: np.ndarray, times: int = 1) -> None:
        """Append a frame (h, w, 3) uint8, or the same one several times."""
        assert frame.shape == self._shape and frame.dtype == np.uint8
        data = np.ascontiguousarray(frame).tobytes()
        for _ in range(times):
            self._pipe.write(data)


@contextmanager
def encoder(out: Path, size: tuple[int, int], frames_per_second: int) -> Iterator[Encoder]:
    """Encode what is added within the block to the file `out`, which appears at its end.

    Args:
        out: an .mp4; its folder is made if missing.
        size: even width and height (pixels).
        frames_per_second: of the film.

    Raises:
        VideoError: there is no ffmpeg, or it failed.
        OSError: the file cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}.{os.getpid()}.part.mp4")
    width, height = size
    command = [
        ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", str(frames_per_second), "-i", "-", "-an",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p",
        "-threads", "1", "-movflags", "+faststart", str(part),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stdin is not None and process.stderr is not None
    try:
        broken = False
        try:
            yield Encoder(process.stdin, (height, width, 3))
            process.stdin.close()
        except BrokenPipeError:
            broken = True
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
        if process.wait() or broken:
            raise VideoError(f"ffmpeg failed: {said[-1] if said else process.returncode}")
        _publish(part, out)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        part.unlink(missing_ok=True)


def _publish(part: Path, out: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(out)


def preview(film: Path) -> Path:
    """A small GIF beside a film, for where films cannot be shown. Raises VideoError or OSError."""
    out = film.with_suffix(".gif")
    part = out.with_name(f".{out.stem}.{os.getpid()}.part.gif")
    small = (
        "fps=8,scale=480:-1:flags=area,split[a][b];"
        "[a]palettegen=max_colors=64:stats_mode=diff[p];[b][p]paletteuse=dither=none"
    )
    command = [ffmpeg(), "-y", "-loglevel", "error", "-i", str(film), "-vf", small, str(part)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise VideoError(f"ffmpeg failed: exit code {done.returncode}")
        _publish(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out
