"""What happened since somebody last asked: finished goals and finished episodes."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import Arm, State

INSIDE = ("goal_joint_speed", "goal_action_rate")
"""What is summed over the steps inside both thresholds: norm of the joint speeds (rad/s) and
|a - a_before|^2."""

MOTION = ("tool_speed", "action_rate", "jerk", "action_saturation", "goal_share", *INSIDE)
"""What is summed over an episode's steps: the tool's speed (m/s), |a - a_before|^2, squared norm of
the joint jerk between control steps (rad2/s6), share of the actions at +-1, whether the tool
is inside both thresholds; and what is summed there. Their means are metrics of these names."""

GOAL = ("reached", "distance", "angle", "seconds")
"""Of a goal: whether the hold was completed, distance (m) and angle (rad) of the tool at its end,
time from its appearance until the hold was completed (s), 0 if it was not."""

EPISODE = ("total", "length", "goals", "self_collided", "table_collided", "peak_speed")
"""Of an episode: sum of rewards, environment steps, goals reached, whether the arm touched itself
or the table, fastest joint at any control step as a fraction of its limit. The sums of MOTION and
those of the weighted reward terms follow, then those of the metrics of extensions."""
_TERMS = len(EPISODE) + len(MOTION)

_METRIC = "metric."
"""Begins the names of metrics in snapshots, which may lack them."""

_KEPT = 2**14
"""Steps in which something finished that are remembered for whoever may ask."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Goals and episodes that finished, in the order in which they did."""

    goals: Array
    """(k, 4), the columns of GOAL."""
    goal_steps: Ints
    """(k,) environment steps since somebody asked before."""
    episodes: Array
    """(m, columns), the columns of EPISODE, of MOTION, of the reward terms, and of metrics."""
    episode_steps: Ints
    """(m,) as of goals."""
    physics_resets: int
    """Episodes that ended because the physics went bad."""


def merged(parts: Sequence[Finished]) -> Finished:
    """What finished in environments that were stepped together, one part each."""
    goal_steps = np.concatenate([part.goal_steps for part in parts])
    episode_steps = np.concatenate([part.episode_steps for part in parts])
    first, second = (np.argsort(s, kind="stable") for s in (goal_steps, episode_steps))
    return Finished(
        np.concatenate([part.goals for part in parts])[first],
        goal_steps[first],
        np.concatenate([part.episodes for part in parts])[second],
        episode_steps[second],
        sum(part.physics_resets for part in parts),
    )


class Episodes:
    """Running sums of the episodes under way, and what has finished."""

    def __init__(self, n: int, terms: int, arm: Arm, metrics: Sequence[str] = ()) -> None:
        """Start n episodes at zero, of so many reward terms, and of metrics beside them."""
        self.arm, self.metrics, self._width = arm, tuple(metrics), _TERMS + terms
        self.latest: tuple[Ints, Array] = (np.zeros(0, np.int64), np.zeros((0, 0)))
        """Environments and sums of the episodes that finished last, in one step."""
        self._table = np.zeros((n, self._width + len(metrics)))
        self._goal_age = np.zeros(n, np.int64)
        self._reached_age = np.zeros(n, np.int64)
        joints = len(arm.home)
        self._acceleration = np.zeros((n, joints))
        self._tool = np.zeros((n, 3))
        self._velocity = np.zeros((n, joints))
        self._begin()

    def _begin(self) -> None:
        self._step = self._resets = 0
        self._goals: deque[tuple[int, Array]] = deque(maxlen=_KEPT)
        self._episodes: deque[tuple[int, Array]] = deque(maxlen=_KEPT)

    def before(self, state: State) -> None:
        """Note where all environments are before a control step."""
        self._tool[:] = state.tool_position
        self._velocity[:] = state.joint_velocity

    def add(self, state: State, reward: Array, shares: Array) -> None:
        """Count one control step of all environments; metrics stand behind the shares."""
        self._step += 1
        _add(
            self._table,
            reward,
            shares,
            (state.completed, state.self_contact, state.table_contact),
            (state.inside_steps, self._goal_age, self._reached_age),
            (state.joint_velocity, self._velocity, self._acceleration),
            (state.action, state.last_action),
            (state.tool_position, self._tool),
            self.arm.velocity_limits,
            1.0 / self.arm.control_period,
        )

    def finish_goals(self, rows: Ints, state: State) -> None:
        """Note how the goals of these environments ended."""
        if not len(rows):
            return
        seconds = self.arm.control_period * self._reached_age[rows]
        columns = (state.reached[rows], state.distance[rows], state.angle[rows], seconds)
        self._goals.append((self._step, np.column_stack(columns).astype(float)))
        self._goal_age[rows] = self._reached_age[rows] = 0

    def finish_episodes(self, rows: Ints, poisoned: Bools) -> None:
        """Note how the episodes of these environments ended."""
        if len(rows):
            self.latest = (rows, self._table[rows])
            self._episodes.append((self._step, self._table[rows]))
            self._resets += int(poisoned.sum())

    def begin(self, rows: Ints) -> None:
        """Begin an episode at zero in these environments."""
        for sums in (self._table, self._goal_age, self._reached_age, self._acceleration):
            sums[rows] = 0

    def measured(self) -> dict[str, Array]:
        """The mean of each metric over the steps of the episode so far, (n,)."""
        means = self._table[:, self._width :] / np.maximum(self._table[:, 1:2], 1.0)
        return dict(zip(self.metrics, means.T, strict=True))

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of the running sums by name, one row per environment."""
        return {name: view.astype(kind) for name, (view, kind) in self._views().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on where a snapshot was taken."""
        for name, (view, _) in self._views().items():
            view[:] = arrays.get(name, 0.0) if name.startswith(_METRIC) else arrays[name]

    def _views(self) -> dict[str, tuple[np.ndarray, type]]:
        """The sums, and the types in which checkpoints have them."""
        kinds = (float, np.int64, np.int64, bool, bool, float)
        out: dict[str, tuple[np.ndarray, type]] = {
            name: (self._table[:, i], kinds[i]) for i, name in enumerate(EPISODE)
        }
        return out | {
            "motion": (self._table[:, len(EPISODE) : _TERMS], float),
            "shares": (self._table[:, _TERMS : self._width], float),
            "goal_age": (self._goal_age, np.int64),
            "reached_age": (self._reached_age, np.int64),
            "acceleration": (self._acceleration, float),
            **{
                _METRIC + name: (self._table[:, self._width + i], float)
                for i, name in enumerate(self.metrics)
            },
        }

    def drain(self) -> Finished:
        """What has finished since the last call."""
        goals, goal_steps = _joined(self._goals, len(GOAL))
        episodes, episode_steps = _joined(self._episodes, self._table.shape[1])
        finished = Finished(goals, goal_steps, episodes, episode_steps, self._resets)
        self._begin()
        return finished


def _joined(found: Sequence[tuple[int, Array]], width: int) -> tuple[Array, Ints]:
    """The rows of all steps, and of which step each is."""
    rows = np.concatenate([np.zeros((0, width)), *(part for _, part in found)])
    return rows, np.repeat([step for step, _ in found], [len(part) for _, part in found])


@compiled(
    "void(f8[:,::1], f8[:], f8[:,:], UniTuple(b1[:], 3), UniTuple(i8[:], 3), UniTuple(f8[:,:], 3),"
    " UniTuple(f8[:,:], 2), UniTuple(f8[:,:], 2), f8[:], f8)"
)
def _add(
    table: Array,
    reward: Array,
    shares: Array,
    happened: tuple[Bools, Bools, Bools],
    steps: tuple[Ints, Ints, Ints],
    joints: tuple[Array, Array, Array],
    actions: tuple[Array, Array],
    tools: tuple[Array, Array],
    limits: Array,
    per_second: float,
) -> None:
    """Add a step to the sums (n, columns), in the order of EPISODE, MOTION and the terms."""
    completed, self_contact, table_contact = happened
    inside_steps, goal_age, reached_age = steps
    velocity, velocity_before, acceleration = joints
    action, last_action = actions
    tool, tool_before = tools
    n, count = velocity.shape
    for i in range(n):
        row = table[i]
        goal_age[i] += 1
        if completed[i]:
            row[2] += 1.0
            reached_age[i] = goal_age[i]
        row[0] += reward[i]
        row[1] += 1.0
        if self_contact[i]:
            row[3] = 1.0
        if table_contact[i]:
            row[4] = 1.0
        jerk, change, speed, full = 0.0, 0.0, 0.0, 0
        for k in range(count):
            v = velocity[i, k]
            now = (v - velocity_before[i, k]) * per_second
            jerk += (now - acceleration[i, k]) ** 2
            acceleration[i, k] = now
            speed += v * v
            row[5] = max(row[5], abs(v) / limits[k])
        for k in range(action.shape[1]):
            change += (action[i, k] - last_action[i, k]) ** 2
            full += abs(action[i, k]) >= 1.0
        way = 0.0
        for k in range(3):
            way += (tool[i, k] - tool_before[i, k]) ** 2
        row[6] += math.sqrt(way) * per_second
        row[7] += change
        row[8] += jerk * per_second * per_second
        row[9] += full / action.shape[1]
        if inside_steps[i] > 0:
            row[10] += 1.0
            row[11] += math.sqrt(speed)
            row[12] += change
        for k in range(shares.shape[1]):
            row[_TERMS + k] += shares[i, k]
