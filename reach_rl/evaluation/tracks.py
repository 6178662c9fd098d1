"""What a few judged episodes looked like, step by step, so that they can be shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode with a goal; t is its number of control steps, and one for the start."""

    number: int
    """Of its goal, from 0."""
    goals: int
    """How many goals were judged with it."""
    worst: bool
    """It is shown because it went worst."""
    qpos: np.ndarray
    """(t, nq) joint positions of the model."""
    goal_position: np.ndarray
    """(3,) in m, world frame."""
    goal_quaternion: np.ndarray
    """(4,) w, x, y, z."""
    position_error: np.ndarray
    """(t,) m."""
    orientation_error: np.ndarray
    """(t,) rad."""
    success: bool
    time_to_success: float
    """s; NaN without success."""


class Watcher:
    """Looks on while episodes are judged side by side. The base class does not look."""

    def begin(self, batch: JudgedBatch, first: int, goals: int) -> None:
        """Episodes with the goals from `first` on, of so many in all, are about to be judged."""

    def look(self) -> None:
        """They advanced by a control step."""

    def end(self, result: Evaluation) -> None:
        """They are over."""


NOBODY = Watcher()


class Tracks(Watcher):
    """Keeps some episodes: the same goals in every evaluation, and the worst of this one."""

    def __init__(self, fixed: int = 1, worst: int = 1) -> None:
        """Keep this many of each kind; fixed goals are spread evenly over all goals."""
        self.fixed, self.worst = fixed, worst
        self._chosen: list[Episode] = []
        self._worst: list[tuple[float, Episode]] = []

    def begin(self, batch: JudgedBatch, first: int, goals: int) -> None:
        """Make room and take the start."""
        self._batch, self._first, self._goals, self._step = batch, first, goals, 0
        length = batch.task.episode_steps + 1
        self._live = batch.batch.bind("qpos")
        self._qpos = np.empty((length, *self._live.shape), np.float32)
        self._errors = np.empty((length, 2, batch.n), np.float32)
        self.look()

    def look(self) -> None:
        """Take a step."""
        state = self._batch.state
        self._qpos[self._step] = self._live
        self._errors[self._step, 0] = state.distance
        self._errors[self._step, 1] = state.angle
        self._step += 1

    def end(self, result: Evaluation) -> None:
        """Keep what is wanted of these episodes."""
        last = self._first + len(result)
        wanted = [int((i + 0.5) * self._goals / self.fixed) for i in range(self.fixed)]
        rows = [number - self._first for number in wanted if self._first <= number < last]
        self._chosen += [self._episode(result, row) for row in dict.fromkeys(rows)]
        bad = badness(result)
        for row in np.argsort(-bad, kind="stable")[: self.worst]:
            self._worst.append((float(bad[row]), self._episode(result, int(row))))
        self._worst = sorted(self._worst, key=lambda item: -item[0])[: self.worst]
        del self._batch, self._qpos, self._errors, self._live

    def episodes(self) -> Sequence[Episode]:
        """What was kept: the fixed goals by number, then the worst, each once."""
        worst = {episode.number: replace(episode, worst=True) for _, episode in self._worst}
        return [e for e in self._chosen if e.number not in worst] + list(worst.values())

    def _episode(self, result: Evaluation, row: int) -> Episode:
        steps = slice(0, self._step)
        return Episode(
            number=self._first + row,
            goals=self._goals,
            worst=False,
            qpos=self._qpos[steps, row].copy(),
            goal_position=np.array(result.goal_position[row]),
            goal_quaternion=np.array(result.goal_quaternion[row]),
            position_error=self._errors[steps, 0, row].copy(),
            orientation_error=self._errors[steps, 1, row].copy(),
            success=bool(result.success[row]),
            time_to_success=float(result.time_to_success[row]),
        )


def badness(result: Evaluation) -> Array:
    """(n,) how badly episodes went: failures first, by final errors in units of the thresholds.

    Among successes the slowest is worst.
    """
    at = result.conditions
    errors = (
        result.position_error / at.position_threshold
        + result.orientation_error / at.orientation_threshold
    )
    slow = np.nan_to_num(result.time_to_success) / at.episode_time
    return np.where(result.success, slow - 1.0, np.nan_to_num(errors, nan=1e9))
