"""What happened since somebody last asked: finished goals and finished episodes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
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
        _count(
            state.completed,
            state.self_contact,
            state.table_contact,
            self.goals,
            self.self_collided,
            self.table_collided,
            self.length,
            self.goal_age,
            self.reached_age,
        )
        _add_motion(
            state.joint_velocity,
            self._velocity,
            self.acceleration,
            state.action,
            state.last_action,
            state.tool_position,
            self._tool,
            state.inside_steps,
            self.arm.velocity_limits,
            1.0 / self.arm.control_period,
            self.motion,
            self.peak_speed,
        )

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


@compiled("void(b1[:], b1[:], b1[:], i8[:], b1[:], b1[:], i8[:], i8[:], i8[:])")
def _count(
    completed: Bools,
    self_contact: Bools,
    table_contact: Bools,
    goals: Ints,
    self_collided: Bools,
    table_collided: Bools,
    length: Ints,
    goal_age: Ints,
    reached_age: Ints,
) -> None:
    for i in range(len(length)):
        length[i] += 1
        goal_age[i] += 1
        if completed[i]:
            goals[i] += 1
            reached_age[i] = goal_age[i]
        self_collided[i] |= self_contact[i]
        table_collided[i] |= table_contact[i]


@compiled(
    "void(f8[:,:], f8[:,:], f8[:,:], f8[:,:], f8[:,:], f8[:,:], f8[:,:], i8[:], f8[:], f8, f8[:,:],"
    " f8[:])"
)
def _add_motion(
    velocity: Array,
    velocity_before: Array,
    acceleration: Array,
    action: Array,
    last_action: Array,
    tool: Array,
    tool_before: Array,
    inside_steps: Ints,
    limits: Array,
    per_second: float,
    sums: Array,
    peak_speed: Array,
) -> None:
    """Add a step to the sums of MOTION (n, 7), and take over accelerations and peak speeds."""
    n, joints = velocity.shape
    for i in range(n):
        jerk, change, speed, full = 0.0, 0.0, 0.0, 0
        for k in range(joints):
            v = velocity[i, k]
            now = (v - velocity_before[i, k]) * per_second
            jerk += (now - acceleration[i, k]) ** 2
            acceleration[i, k] = now
            change += (action[i, k] - last_action[i, k]) ** 2
            speed += v * v
            full += abs(action[i, k]) >= 1.0
            peak_speed[i] = max(peak_speed[i], abs(v) / limits[k])
        way = 0.0
        for k in range(3):
            way += (tool[i, k] - tool_before[i, k]) ** 2
        sums[i, 0] += math.sqrt(way) * per_second
        sums[i, 1] += change
        sums[i, 2] += jerk * per_second * per_second
        sums[i, 3] += full / joints
        if inside_steps[i] > 0:
            sums[i, 4] += 1.0
            sums[i, 5] += math.sqrt(speed)
            sums[i, 6] += change
