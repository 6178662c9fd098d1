"""Pictures to MP4 (H.264, yuv420p, plays everywhere) by ffmpeg, published whole or not at all."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class VideoError(RuntimeError):
    """No film can be made on this machine; the message says what to install."""


def ffmpeg() -> str:
    """Path of the program: that of imageio-ffmpeg, or the system's. Raises VideoError."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "pip install imageio-ffmpeg, or apt-get install ffmpeg"
        raise VideoError(f"no ffmpeg: {hint}") from error


@contextmanager
def encoder(
    out: Path, size: tuple[int, int], frames_per_second: int
) -> Iterator[Callable[..., None]]:
    """Encode the frames that are handed over within the block to a file, which appears at its end.

    Args:
        out: an .mp4; its folder is made if missing.
        size: even width and height (pixels).
        frames_per_second: of the film.

    Yields:
        A function that appends a frame (h, w, 3) uint8; how many times, 1 if not given.

    Raises:
        VideoError: there is no ffmpeg, or it failed.
        OSError: the file cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    command = [
        ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", str(frames_per_second), "-i", "-", "-an",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p",
        "-threads", "1", "-movflags", "+faststart",
    ]  # fmt: skip
    with _published(out) as part:
        process = subprocess.Popen(
            [*command, str(part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        pipe, errors = process.stdin, process.stderr
        assert pipe is not None and errors is not None

        def add(frame: np.ndarray, times: int = 1) -> None:
            assert frame.shape == (height, width, 3) and frame.dtype == np.uint8
            for _ in range(times):
                pipe.write(np.ascontiguousarray(frame).tobytes())

        try:
            try:
                yield add
                pipe.close()
            except BrokenPipeError:
                pass  # it says why
            said = errors.read().decode(errors="replace").strip().splitlines()
            if process.wait():
                raise VideoError(f"ffmpeg failed: {said[-1] if said else process.returncode}")
        finally:
            process.kill()
            process.wait()
            errors.close()


@contextmanager
def _published(out: Path) -> Iterator[Path]:
    """A neighbour to write to, which becomes the file if nothing goes wrong."""
    part = out.with_name(f".{out.stem}.{os.getpid()}.part{out.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def preview(film: Path) -> Path:
    """A small GIF beside a film, for where films cannot be shown. Raises VideoError or OSError."""
    out = film.with_suffix(".gif")
    small = (
        "fps=8,scale=480:-1:flags=area,split[a][b];"
        "[a]palettegen=max_colors=64:stats_mode=diff[p];[b][p]paletteuse=dither=none"
    )
    with _published(out) as part:
        command = [ffmpeg(), "-y", "-loglevel", "error", "-i", str(film), "-vf", small, str(part)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise VideoError(f"ffmpeg failed: exit code {done.returncode}")
    return out
