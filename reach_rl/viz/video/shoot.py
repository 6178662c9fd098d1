"""Draw a film frame by frame and encode it."""

from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image

from reach_rl.evaluation.recording import Episode
from reach_rl.robots import display_spec
from reach_rl.robots.render import Offscreen, place_goal
from reach_rl.viz.video import overlay
from reach_rl.viz.video.cameras import SIDES, cameras
from reach_rl.viz.video.encode import encoder
from reach_rl.viz.video.film import Film

DRAWN = (576, 540)
"""Width and height in which each view is drawn (pixels); shown smaller, for smooth edges."""
SHOWN = (480, 450)
SIZE = (len(SIDES) * SHOWN[0], SHOWN[1] + overlay.HEIGHT)
FREEZE = 0.6
"""The last picture of an episode stands for this long (s)."""


def shoot(film: Film, out: Path) -> None:
    """Make the film as an MP4, SIZE pixels large.

    Raises:
        RenderError: nothing on this machine can draw.
        VideoError: nothing on this machine can encode, or encoding failed.
        ConfigError: the robot's model is missing.
        OSError: the file cannot be written.
    """
    model = _model(film)
    with Stage(model, film) as stage, encoder(out, SIZE, film.frames_per_second) as target:
        for episode in film.episodes:
            frame = None
            for frame in stage.frames(episode):
                target.add(frame)
            if frame is not None:
                target.add(frame, round(FREEZE * film.frames_per_second))


class Stage:
    """The scene of a film, its cameras and its screen; a context manager."""

    def __init__(self, model: mujoco.MjModel, film: Film) -> None:
        """Place the cameras and open the screen. Raises RenderError."""
        self.model, self.film = model, film
        self.data = mujoco.MjData(model)
        self.cameras = cameras(model, film, DRAWN)
        self.screen = Offscreen(model, DRAWN)

    def frames(self, episode: Episode) -> Iterator[np.ndarray]:
        """The pictures (h, w, 3) uint8 of an episode."""
        place_goal(self.model, self.data, (episode.goal_position, episode.goal_quaternion))
        for step in self.film.steps(episode).tolist():
            self.data.qpos[:] = episode.qpos[step]
            mujoco.mj_forward(self.model, self.data)
            views = np.hstack([self._view(camera) for camera in self.cameras])
            views[:, SHOWN[0] - 1 : SHOWN[0] + 1] = overlay.PAPER
            yield np.vstack([views, overlay.strip(self.film, episode, step, SIZE[0])])

    def _view(self, camera: mujoco.MjvCamera) -> np.ndarray:
        picture = Image.fromarray(self.screen.frame(self.data, camera))
        return np.asarray(picture.resize(SHOWN, Image.Resampling.BOX))

    def __enter__(self) -> "Stage":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the screen back."""
        self.screen.close()


def _model(film: Film) -> mujoco.MjModel:
    """The scene, drawn plainly enough for a machine without a graphics card."""
    spec = display_spec(film.robot)
    quality = spec.visual.quality
    quality.shadowsize, quality.offsamples, quality.numslices = 2048, 0, 28
    spec.visual.global_.fovy = 34.0
    return spec.compile()
