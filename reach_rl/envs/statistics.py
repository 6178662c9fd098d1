"""What happened since somebody last asked: finished goals and finished episodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints, dot
from reach_rl.mdp.rotations import norm
from reach_rl.mdp.state import Arm, State

MOTION = (
    "tool_speed",
    "action_rate",
    "jerk",
    "saturation",
    "goal_steps",
    "goal_joint_speed",
    "goal_action_rate",
)
"""What is summed over an episode's steps: the tool's speed (m/s), |a - a_before|^2, squared norm of
the joint jerk between control steps (rad2/s6), share of the actions at +-1; and of the steps
inside both thresholds their number, norm of the joint speeds (rad/s) and |a - a_before|^2."""


@dataclass(slots=True)
class Finished:
    """Goals and episodes that finished, in the order in which they did."""

    reached: list[bool] = field(default_factory=list)
    """Per goal: the hold was completed."""
    distance: list[float] = field(default_factory=list)
    """Per goal: distance of the tool at its end (m)."""
    angle: list[float] = field(default_factory=list)
    """Per goal: angle of the tool at its end (rad)."""
    seconds: list[float] = field(default_factory=list)
    """Per goal: from its appearance until the hold was completed (s); 0 if it was not."""
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
    motion: list[Array] = field(default_factory=list)
    """Per episode: the sums of MOTION."""
    peak_speed: list[float] = field(default_factory=list)
    """Per episode: fastest joint at any control step, as a fraction of its limit."""
    physics_resets: int = 0
    """Episodes that ended because the physics went bad."""


class Statistics:
    """Running sums of the episodes under way, and what has finished."""

    def __init__(self, n: int, terms: Sequence[str], arm: Arm) -> None:
        """Start n episodes at zero."""
        self.terms = tuple(terms)
        self.arm = arm
        self.total = np.zeros(n)
        self.shares = np.zeros((n, len(terms)), order="F")
        self.length = np.zeros(n, np.int64)
        self.goals = np.zeros(n, np.int64)
        self.self_collided = np.zeros(n, bool)
        self.table_collided = np.zeros(n, bool)
        self.motion = np.zeros((n, len(MOTION)), order="F")
        self.peak_speed = np.zeros(n)
        self.goal_age = np.zeros(n, np.int64)
        self.reached_age = np.zeros(n, np.int64)
        joints = len(arm.home)
        self.acceleration = np.zeros((n, joints), order="F")
        self._tool = np.zeros((n, 3), order="F")
        self._velocity = np.zeros((n, joints), order="F")
        self._finished = Finished()

    def before(self, state: State) -> None:
        """Note where all environments are before a control step."""
        self._tool[:] = state.tool_position
        self._velocity[:] = state.joint_velocity

    def add(self, state: State, reward: Array, shares: Array) -> None:
        """Count one control step of all environments."""
        self.total += reward
        self.shares += shares
        self.length += 1
        self.goals += state.completed
        self.self_collided |= state.self_contact
        self.table_collided |= state.table_contact
        self.goal_age += 1
        np.copyto(self.reached_age, self.goal_age, where=state.completed)
        self._add_motion(state)

    def _add_motion(self, state: State) -> None:
        rate_of_steps, velocity = 1.0 / self.arm.control_period, state.joint_velocity
        acceleration = (velocity - self._velocity) * rate_of_steps
        jerk = acceleration - self.acceleration
        self.acceleration[:] = acceleration
        change = state.action - state.last_action
        rate = dot(change, change)
        inside = state.inside_steps > 0
        sums = self.motion
        sums[:, 0] += norm(state.tool_position - self._tool) * rate_of_steps
        sums[:, 1] += rate
        sums[:, 2] += dot(jerk, jerk) * rate_of_steps**2
        full = np.abs(state.action) >= 1.0
        sums[:, 3] += np.add.reduce(full, axis=1) / velocity.shape[1]
        sums[:, 4] += inside
        sums[:, 5] += inside * norm(velocity)
        sums[:, 6] += inside * rate
        shares = np.abs(velocity) / self.arm.velocity_limits
        np.maximum(self.peak_speed, np.maximum.reduce(shares, axis=1), out=self.peak_speed)

    def finish_goals(self, rows: Ints, state: State) -> None:
        """Note how the goals of these environments ended."""
        if not len(rows):
            return
        done = self._finished
        done.reached += state.reached[rows].tolist()
        done.distance += state.distance[rows].tolist()
        done.angle += state.angle[rows].tolist()
        done.seconds += (self.arm.control_period * self.reached_age[rows]).tolist()
        self.goal_age[rows] = 0
        self.reached_age[rows] = 0

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
        done.motion += list(self.motion[rows])
        done.peak_speed += self.peak_speed[rows].tolist()
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
            "motion": self.motion,
            "peak_speed": self.peak_speed,
            "goal_age": self.goal_age,
            "reached_age": self.reached_age,
            "acceleration": self.acceleration,
        }

    def drain(self) -> Finished:
        """What has finished since the last call."""
        finished, self._finished = self._finished, Finished()
        return finished
