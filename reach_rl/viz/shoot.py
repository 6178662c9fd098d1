"""Draw a film: two cameras that stand still, a strip of words under them, an MP4 of it all.

This module is also the process that does so: python -m reach_rl.viz.shoot JOB OUT [--behind], where
JOB is what Film.save wrote and OUT an .mp4. What goes wrong is the last line of its output.
"""

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reach_rl.cli import extended
from reach_rl.evaluation.recording import Episode
from reach_rl.robots import display_spec
from reach_rl.robots.display import Offscreen, RenderError, place_goal
from reach_rl.viz.films import NO_FILMS, Film, load_film

STRIP = 90
PAPER, INK, FAINT = (250, 250, 251), (32, 40, 48), (112, 122, 132)
GREEN, AMBER, RED, GREY = (22, 128, 70), (176, 106, 0), (190, 40, 40), (84, 96, 108)

COLUMNS = (24, 370, 545, 715)
"""Left edges of title, position, orientation and outcome (pixels)."""

SIDES = ((132.0, -16.0), (212.0, -45.0))
"""Azimuth and elevation of each camera (deg): from the arm's front right, and from its left."""

FULL = 0.5
"""Of a shape's bounding sphere, what counts as the shape."""

EVERY = 10
"""Every so many control steps are looked at to place the cameras."""

DRAWN = (576, 540)
"""Width and height in which each view is drawn (pixels); shown smaller, for smooth edges."""
SHOWN = (480, 450)
SIZE = (len(SIDES) * SHOWN[0], SHOWN[1] + STRIP)
FREEZE = 0.6
"""The last picture of an episode stands for this long (s)."""


class VideoError(RuntimeError):
    """A film cannot be encoded."""


def main() -> int:
    """Make one film, and a small GIF beside it for where films cannot be shown."""
    if "--behind" in sys.argv[3:]:
        _stand_back()
    try:
        job, out = map(Path, extended(sys.argv[1:])[:2])
        shoot(load_film(job), out)
        with suppress(VideoError, OSError):
            preview(out)
    except (ImportError, RenderError) as error:
        print(" ".join(str(error).split()))
        return NO_FILMS
    except Exception as error:
        print(" ".join(str(error).split()) or type(error).__name__)
        return 1
    return 0


def _stand_back() -> None:
    """Run only where the processor has nothing else to do.

    Linux shares the processor among sessions first and heeds niceness within each, so that of a
    session of its own, as this process has, the whole has to stand back.
    """
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def shoot(film: Film, out: Path) -> None:
    """Make the film as an MP4, SIZE pixels large.

    Raises:
        RenderError: nothing on this machine can draw.
        ImportError: nothing on this machine can encode; the message says what to install.
        VideoError: encoding failed.
        ConfigError: the robot's model is missing.
        OSError: the file cannot be written.
    """
    encode(frames(film), out, SIZE, film.frames_per_second)


def frames(film: Film) -> Iterator[tuple[np.ndarray, int]]:
    """The pictures (h, w, 3) uint8 of a film, and how many times each is shown."""
    model = _model(film)
    data, views = mujoco.MjData(model), cameras(model, film)
    screen = Offscreen(model, DRAWN)

    def seen(camera: mujoco.MjvCamera) -> np.ndarray:
        picture = Image.fromarray(screen.frame(data, camera))
        return np.asarray(picture.resize(SHOWN, Image.Resampling.BOX))

    try:
        for episode in film.episodes:
            place_goal(model, data, (episode.goal_position, episode.goal_quaternion))
            steps = film.steps(episode).tolist()
            for step in steps:
                data.qpos[:] = episode.qpos[step]
                mujoco.mj_forward(model, data)
                picture = np.hstack([seen(camera) for camera in views])
                picture[:, SHOWN[0] - 1 : SHOWN[0] + 1] = PAPER
                stands = 1 + (step == steps[-1]) * round(FREEZE * film.frames_per_second)
                yield np.vstack([picture, strip(film, episode, step, SIZE[0])]), stands
    finally:
        screen.close()


def _model(film: Film) -> mujoco.MjModel:
    """The scene, drawn plainly enough for a machine without a graphics card."""
    spec = display_spec(film.robot)
    quality = spec.visual.quality
    quality.shadowsize, quality.offsamples, quality.numslices = 2048, 0, 28
    spec.visual.global_.fovy = 34.0
    return spec.compile()


def cameras(model: mujoco.MjModel, film: Film) -> list[mujoco.MjvCamera]:
    """A camera for each of SIDES, as near as it sees the arm and the goals all the time."""
    points, radii = map(np.concatenate, zip(*_seen(model, film), strict=True))
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = (np.linalg.norm(points - centre, axis=1) + radii).max()
    found = []
    for azimuth, elevation in SIDES:
        camera = mujoco.MjvCamera()
        camera.lookat[:], camera.azimuth, camera.elevation = centre, azimuth, elevation
        camera.distance = reach / np.sin(np.radians(model.vis.global_.fovy / 2))
        found.append(camera)
    return found


def _seen(model: mujoco.MjModel, film: Film) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where the shapes (k) of arm and goal are now and then: centres (k, 3) and radii (k,), m."""
    data = mujoco.MjData(model)
    shapes = np.flatnonzero((model.geom_bodyid > 0) & (model.geom_group <= 2))
    for episode in film.episodes:
        place_goal(model, data, (episode.goal_position, episode.goal_quaternion))
        for qpos in episode.qpos[film.steps(episode)][::EVERY]:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            yield data.geom_xpos[shapes].copy(), model.geom_rbound[shapes] * FULL


_font = cache(ImageFont.load_default)


def strip(film: Film, episode: Episode, step: int, width: int) -> np.ndarray:
    """(STRIP, width, 3) uint8: what is to be told at a control step of an episode."""
    image = Image.new("RGB", (width, STRIP), PAPER)
    draw = ImageDraw.Draw(image)
    draw.line([(0, 0), (width, 0)], fill=(218, 221, 225))
    position = 1000.0 * float(episode.position_error[step])
    angle = math.degrees(float(episode.orientation_error[step]))
    allowed = 1000.0 * film.position_threshold, math.degrees(film.orientation_threshold)
    where = f"goal {episode.number + 1:,} of {episode.goals:,}"
    where += ", among the worst" * episode.worst
    where += f"   {film.speed:g}x speed" * (film.speed != 1.0)
    inks = [
        GREEN if now < most else INK for now, most in zip((position, angle), allowed, strict=True)
    ]
    word, colour = outcome(film, episode, step)
    *_, last = COLUMNS
    end = width - 24
    draw.rounded_rectangle((last, 15, end, 49), radius=8, fill=colour)
    rule = f"within {allowed[0]:.3g} mm, {allowed[1]:.2g}°"
    for x, y, text, size, ink, anchor in (
        (COLUMNS[0], 32, film.title, 20, INK, "lm"),
        (COLUMNS[1], 32, f"{position:.1f} mm", 26, inks[0], "lm"),
        (COLUMNS[2], 32, f"{angle:.1f}°", 26, inks[1], "lm"),
        ((last + end) / 2, 32, word, 20, "white", "mm"),
        (COLUMNS[0], 58, where, 15, FAINT, "la"),
        (COLUMNS[1], 58, "position error", 15, FAINT, "la"),
        (COLUMNS[2], 58, "orientation error", 15, FAINT, "la"),
        (last, 58, f"{step * film.control_period:.2f} s", 15, FAINT, "la"),
        (end, 58, rule, 15, FAINT, "ra"),
    ):
        draw.text((x, y), text, fill=ink, font=_font(size), anchor=anchor)
    return np.asarray(image)


def outcome(film: Film, episode: Episode, step: int) -> tuple[str, tuple[int, int, int]]:
    """What has become of the goal at a control step, and the colour that says so."""
    time = step * film.control_period
    if episode.success and time >= episode.time_to_success - 1e-9:
        return f"success at {episode.time_to_success:.2f} s", GREEN
    if step >= len(episode.qpos) - 1:
        return "missed", RED
    inside = (
        episode.position_error[step] < film.position_threshold
        and episode.orientation_error[step] < film.orientation_threshold
    )
    return ("holding", AMBER) if inside else ("on the way", GREY)


def ffmpeg() -> str:
    """Path of the program: that of imageio-ffmpeg, or the system's. Raises ImportError."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "pip install imageio-ffmpeg, or apt-get install ffmpeg"
        raise ImportError(f"no ffmpeg: {hint}") from error


def encode(
    pictures: Iterable[tuple[np.ndarray, int]],
    out: Path,
    size: tuple[int, int],
    frames_per_second: int,
) -> None:
    """Encode frames to a file, which appears whole or not at all.

    Args:
        pictures: (h, w, 3) uint8, and how many times each is shown.
        out: an .mp4 (H.264, yuv420p, plays everywhere); its folder is made if missing.
        size: even width and height (pixels).
        frames_per_second: of the film.

    Raises:
        ImportError: there is no ffmpeg.
        VideoError: it failed.
        OSError: the file cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{size[0]}x{size[1]}", "-r", str(frames_per_second), "-i", "-", "-an",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p",
        "-threads", "1", "-movflags", "+faststart",
    ]  # fmt: skip
    pipe = subprocess.PIPE
    with (
        _published(out) as part,
        subprocess.Popen([*command, str(part)], stdin=pipe, stderr=pipe) as process,
    ):
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it says why
                for picture, times in pictures:
                    process.stdin.write(picture.tobytes() * times)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        said = process.communicate()[1]
        _check(process.returncode, said)


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
        _check(done.returncode, done.stderr)
    return out


def _check(code: int, said: bytes) -> None:
    if code:
        lines = said.decode(errors="replace").strip().splitlines()
        raise VideoError(f"ffmpeg failed: {lines[-1] if lines else code}")


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


if __name__ == "__main__":
    sys.exit(main())
