"""What happened since somebody last asked: finished goals and finished episodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.state import State


@dataclass(slots=True)
class Finished:
    """Goals and episodes that finished, in the order in which they did."""

    reached: list[bool] = field(default_factory=list)
    """Per goal: the hold was completed."""
    distance: list[float] = field(default_factory=list)
    """Per goal: distance of the tool at its end (m)."""
    angle: list[float] = field(default_factory=list)
    """Per goal: angle of the tool at its end (rad)."""
    rows: list[int] = field(default_factory=list)
    """Per episode: the environment."""
    returns: list[float] = field(default_factory=list)
    """Per episode: sum of rewards."""
    lengths: list[int] = field(default_factory=list)
    """Per episode: environment steps."""
    goals: list[int] = field(default_factory=list)
    """Per episode: goals reached."""
    shares: list[Array] = field(default_factory=list)
    """Per episode: sum of each weighted reward term, (terms,)."""
    self_collided: list[bool] = field(default_factory=list)
    """Per episode: the arm touched itself."""
    table_collided: list[bool] = field(default_factory=list)
    """Per episode: the arm touched the table."""
    physics_resets: int = 0
    """Episodes that ended because the physics went bad."""


class Statistics:
    """Running sums of the episodes under way, and what has finished."""

    def __init__(self, n: int, terms: Sequence[str]) -> None:
        """Start n episodes at zero."""
        self.terms = tuple(terms)
        self.total = np.zeros(n)
        self.shares = np.zeros((n, len(terms)))
        self.length = np.zeros(n, np.int64)
        self.goals = np.zeros(n, np.int64)
        self.self_collided = np.zeros(n, bool)
        self.table_collided = np.zeros(n, bool)
        self._finished = Finished()

    def add(self, state: State, reward: Array, shares: Array) -> None:
        """Count one control step of all environments."""
        self.total += reward
        self.shares += shares
        self.length += 1
        self.goals += state.completed
        self.self_collided |= state.self_contact
        self.table_collided |= state.table_contact

    def finish_goals(self, rows: Ints, state: State) -> None:
        """Note how the goals of these environments ended."""
        if len(rows):
            self._finished.reached += state.reached[rows].tolist()
            self._finished.distance += state.distance[rows].tolist()
            self._finished.angle += state.angle[rows].tolist()

    def finish_episodes(self, rows: Ints, poisoned: Bools) -> None:
        """Note how the episodes of these environments ended."""
        if not len(rows):
            return
        done = self._finished
        done.rows += rows.tolist()
        done.returns += self.total[rows].tolist()
        done.lengths += self.length[rows].tolist()
        done.goals += self.goals[rows].tolist()
        done.shares += list(self.shares[rows])
        done.self_collided += self.self_collided[rows].tolist()
        done.table_collided += self.table_collided[rows].tolist()
        done.physics_resets += int(poisoned.sum())

    def begin(self, rows: Ints) -> None:
        """Begin an episode at zero in these environments."""
        for sums in self.sums().values():
            sums[rows] = 0

    def sums(self) -> dict[str, np.ndarray]:
        """The running sums by name, one row per environment; views."""
        return {
            "total": self.total,
            "shares": self.shares,
            "length": self.length,
            "goals": self.goals,
            "self_collided": self.self_collided,
            "table_collided": self.table_collided,
        }

    def drain(self) -> Finished:
        """What has finished since the last call."""
        finished, self._finished = self._finished, Finished()
        return finished
