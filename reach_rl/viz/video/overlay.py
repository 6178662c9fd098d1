"""The strip of words and figures under the pictures of a film."""

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reach_rl.evaluation.recording import Episode
from reach_rl.viz.video.film import Film

HEIGHT = 90
PAPER, INK, FAINT = (250, 250, 251), (32, 40, 48), (112, 122, 132)
GREEN, AMBER, RED, GREY = (22, 128, 70), (176, 106, 0), (190, 40, 40), (84, 96, 108)

COLUMNS = (24, 370, 545, 715)
"""Left edges of title, position, orientation and outcome (pixels)."""


def strip(film: Film, episode: Episode, step: int, width: int) -> np.ndarray:
    """(HEIGHT, width, 3) uint8: what is to be told at a control step of an episode."""
    image = Image.new("RGB", (width, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    draw.line([(0, 0), (width, 0)], fill=(218, 221, 225))
    position = 1000.0 * float(episode.position_error[step])
    angle = math.degrees(float(episode.orientation_error[step]))
    allowed = 1000.0 * film.position_threshold, math.degrees(film.orientation_threshold)
    left, second, third, last = COLUMNS
    _column(draw, left, film.title, _which(film, episode), INK, big=20)
    _error(draw, second, f"{position:.1f} mm", "position", position < allowed[0])
    _error(draw, third, f"{angle:.1f}°", "orientation", angle < allowed[1])
    word, colour = outcome(film, episode, step)
    draw.rounded_rectangle((last, 15, width - 24, 49), radius=8, fill=colour)
    middle = (last + width - 24) / 2
    draw.text((middle, 32), word, fill="white", font=_font(20), anchor="mm")
    time = f"{step * film.control_period:.2f} s"
    draw.text((last, 58), time, fill=FAINT, font=_font(15))
    rule = f"within {allowed[0]:.3g} mm, {allowed[1]:.2g}°"
    draw.text((width - 24, 58), rule, fill=FAINT, font=_font(15), anchor="ra")
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


def _which(film: Film, episode: Episode) -> str:
    what = f"goal {episode.number + 1:,} of {episode.goals:,}"
    what += ", among the worst" if episode.worst else ""
    return what if film.speed == 1.0 else f"{what}   {film.speed:g}x speed"


def _error(draw: ImageDraw.ImageDraw, x: int, text: str, of: str, small: bool) -> None:
    """An error, green where it is small enough."""
    _column(draw, x, text, f"{of} error", GREEN if small else INK)


def _column(
    draw: ImageDraw.ImageDraw,
    x: int,
    text: str,
    label: str,
    colour: tuple[int, int, int],
    big: int = 26,
) -> None:
    draw.text((x, 32), text, fill=colour, font=_font(big), anchor="lm")
    draw.text((x, 58), label, fill=FAINT, font=_font(15))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
