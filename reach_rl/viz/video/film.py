"""What is to be filmed, as a value that travels to another process in one file without pickle."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from reach_rl.config.schema import Config, RobotConfig
from reach_rl.evaluation.recording import Episode

AFTER_SUCCESS = 0.8
"""An episode is shown for this long after its goal was held (s of the episode)."""


@dataclass(frozen=True, slots=True)
class Film:
    """Episodes of one policy and the words that go with them."""

    robot: RobotConfig
    title: str
    control_period: float
    """s"""
    position_threshold: float
    """m"""
    orientation_threshold: float
    """rad"""
    speed: float
    """How many times faster than real time it is shown."""
    frames_per_second: int
    episodes: Sequence[Episode]

    def steps(self, episode: Episode) -> np.ndarray:
        """(frames,) the control steps that are shown of an episode; the last one is among them."""
        last = len(episode.qpos) - 1
        if episode.success:
            end = episode.time_to_success + AFTER_SUCCESS
            last = min(last, round(end / self.control_period))
        stride = self.speed / (self.frames_per_second * self.control_period)
        shown = np.round(np.arange(0.0, last, stride)).astype(int)
        return np.unique(np.append(shown, last))


def film_of(
    config: Config,
    title: str,
    episodes: Sequence[Episode],
    speed: float = 1.0,
    frames_per_second: int = 25,
) -> Film:
    """A film of episodes of a run; by default in real time."""
    task = config.task
    return Film(
        robot=config.robot,
        title=title,
        control_period=task.control_period,
        position_threshold=task.position_threshold,
        orientation_threshold=task.orientation_threshold,
        speed=speed,
        frames_per_second=frames_per_second,
        episodes=tuple(episodes),
    )


def save(film: Film, path: Path) -> None:
    """Write a film's data, an .npz. Raises OSError."""
    arrays: dict[str, np.ndarray] = {}
    plain = []
    for i, episode in enumerate(film.episodes):
        values = {field.name: getattr(episode, field.name) for field in fields(episode)}
        arrays |= {f"{i}/{k}": v for k, v in values.items() if isinstance(v, np.ndarray)}
        plain.append({k: v for k, v in values.items() if not isinstance(v, np.ndarray)})
    about = {field.name: getattr(film, field.name) for field in fields(film)}
    about |= {"robot": asdict(film.robot), "episodes": plain}
    with path.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Film:
    """Read what `save` wrote. Raises OSError or ValueError."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        episodes = []
        for i, plain in enumerate(about["episodes"]):
            prefix = f"{i}/"
            arrays = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}
            episodes.append(Episode(**plain, **arrays))
    return Film(
        **{
            **about,
            "robot": RobotConfig(**{"keyframe": None, **about["robot"]}),
            "episodes": tuple(episodes),
        }
    )
