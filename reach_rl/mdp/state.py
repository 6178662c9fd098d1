"""What the task's functions see: the state of n environments at one control step."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints, measure_rotation
from reach_rl.mdp.compiled import compiled


@dataclass(frozen=True, slots=True)
class Arm:
    """What the task knows of the robot; j joints."""

    home: Array
    """(j,) home joint angles (rad)."""
    low: Array
    """(j,) lower joint limits, -inf where there is none (rad)."""
    high: Array
    """(j,) upper joint limits, inf where there is none (rad)."""
    velocity_limits: Array
    """(j,) joint speed limits (rad/s)."""
    servo_lag: Array
    """(j,) time constant of the position servos (s)."""
    acceleration_limits: Array
    """(j,) acceleration at which the servo reaches its torque limit (rad/s2)."""
    hinge: Bools
    """(j,) true for hinges, false for slides."""
    height_moves: Bools
    """(j + 1,) whether the joints can change how high each joint and the tool is."""
    keypoint_offset: float
    """Distance of the tool's key points from the tool centre point (m)."""
    control_period: float
    """Time between two actions (s)."""


@dataclass(slots=True)
class State:
    """The state of n environments. Arrays have one row per environment; base frame, SI units."""

    joint_position: Array
    """(n, j) rad."""
    joint_velocity: Array
    """(n, j) rad/s."""
    joint_anchor: Array
    """(n, j, 3) points on the joint axes (m)."""
    joint_axis: Array
    """(n, j, 3) directions of the joint axes."""
    tool_position: Array
    """(n, 3) m."""
    tool_quaternion: Array
    """(n, 4) w, x, y, z."""
    tool_matrix: Array
    """(n, 3, 3) columns are the tool's axes."""
    self_contact: Bools
    """(n,) the arm touches itself."""
    table_contact: Bools
    """(n,) the arm touches the table."""
    goal_position: Array
    """(n, 3) m."""
    goal_quaternion: Array
    """(n, 4) w, x, y, z."""
    goal_matrix: Array
    """(n, 3, 3)."""
    goal_ways: Array
    """(n, w, j) joint angles that reach the goal, NaN where there are fewer; w is 0 where no
    observation asks for them (rad)."""
    action: Array
    """(n, a) the action of this step, in [-1, 1]; a is j but for a kind of another size."""
    last_action: Array
    """(n, a) the action of the step before."""
    inside_steps: Ints
    """(n,) consecutive control steps, this one included, inside both thresholds."""
    completed: Bools
    """(n,) the goal's hold was completed at this step, for the first time."""
    reached: Bools
    """(n,) the goal's hold has been completed."""
    # derived by measure()
    position_error: Array
    """(n, 3) goal minus tool position (m)."""
    distance: Array
    """(n,) its length (m)."""
    rotation_error: Array
    """(n, 3) rotation from tool to goal, axis times angle (rad)."""
    angle: Array
    """(n,) its angle (rad)."""
    keypoint_distance: Array
    """(n,) mean distance of the tool's key points from the goal's (m)."""
    keypoint_progress: Array
    """(n,) by how much that distance fell in this step; 0 where the goal is new (m)."""
    joint_progress: Array
    """(n,) by how much the nearest joint configuration known to reach the goal came nearer in this
    step; 0 where the goal is new, or where no reward asks for it (rad)."""

    @classmethod
    def empty(cls, n: int, joints: int, ways: int = 0, actions: int = 0) -> "State":
        """A state of n environments, all zeros, with room for so many ways to a goal.

        An action has `actions` numbers, one for each joint by default.

        In memory a component of all environments lies side by side: what is done with one
        component at a time (cross products, sums over three) is then several times faster.
        """
        shapes = (
            ((joints,), ("joint_position", "joint_velocity")),
            ((actions or joints,), ("action", "last_action")),
            ((joints, 3), ("joint_anchor", "joint_axis")),
            ((ways, joints), ("goal_ways",)),
            ((3,), ("tool_position", "goal_position", "position_error", "rotation_error")),
            ((4,), ("tool_quaternion", "goal_quaternion")),
            ((3, 3), ("tool_matrix", "goal_matrix")),
        )
        shape_of = {name: shape for shape, names in shapes for name in names}
        types: dict[Any, type] = {Bools: np.bool_, Ints: np.int64}
        arrays: dict[str, Any] = {}
        for f in fields(cls):
            shape = (n, *shape_of.get(f.name, ()))
            arrays[f.name] = np.zeros(shape, types.get(f.type, np.float64), order="F")
        return cls(**arrays)

    def rows(self, rows: Ints) -> "State":
        """A copy with these environments only."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def measure(self, arm: Arm, rows: Ints | slice = slice(None)) -> None:
        """Refresh the errors of these rows, and their progress, from tool and goal."""
        some = np.arange(len(self.distance))[rows]
        _measure.on(self, some, arm.keypoint_offset)
        measure_rotation.on(self, some)


@compiled("void(f8[:,:], f8[:,:], f8[:,:,:], f8[:,:,:], f8[:,:], f8[:], f8[:], f8[:], i8[:], f8)")
def _measure(
    goal_position: Array,
    tool_position: Array,
    goal_matrix: Array,
    tool_matrix: Array,
    position_error: Array,
    distance: Array,
    keypoint_distance: Array,
    keypoint_progress: Array,
    rows: Ints,
    offset: float,
) -> None:
    for i in rows:
        x = goal_position[i, 0] - tool_position[i, 0]
        y = goal_position[i, 1] - tool_position[i, 1]
        z = goal_position[i, 2] - tool_position[i, 2]
        position_error[i, 0], position_error[i, 1], position_error[i, 2] = x, y, z
        distance[i] = math.sqrt(x * x + y * y + z * z)
        # the key points sit on the tool's axes, so their offsets are the columns of its matrix
        lengths = 0.0
        for k in range(3):
            kx = x + offset * (goal_matrix[i, 0, k] - tool_matrix[i, 0, k])
            ky = y + offset * (goal_matrix[i, 1, k] - tool_matrix[i, 1, k])
            kz = z + offset * (goal_matrix[i, 2, k] - tool_matrix[i, 2, k])
            lengths += math.sqrt(kx * kx + ky * ky + kz * kz)
        keypoint_progress[i] = keypoint_distance[i] - lengths / 3.0
        keypoint_distance[i] = lengths / 3.0


def nearest_way(position: Array, ways: Array, arm: Arm) -> tuple[Array, Array]:
    """The way in the joints to the nearest of some configurations, short of full turns.

    Args:
        position: (n, j) joint angles (rad).
        ways: (n, w, j) configurations (rad); NaN where there is none. Full turns do not matter,
            but for the joint limits.
        arm: the arm.

    Returns:
        Its length (n,), NaN without any, and the way (n, j), 0 without any (rad).
    """
    return _nearest(position, ways, arm.low, arm.high, arm.hinge)


@compiled("Tuple((f8[::1], f8[:,::1]))(f8[:,:], f8[:,:,:], f8[:], f8[:], b1[:])")
def _nearest(
    position: Array, ways: Array, low: Array, high: Array, hinge: Bools
) -> tuple[Array, Array]:
    n, joints = position.shape
    least, nearest = np.full(n, np.nan), np.zeros((n, joints))
    way = np.empty(joints)
    for i in range(n):
        best = np.inf
        for w in range(ways.shape[1]):
            square = 0.0
            for k in range(joints):
                way[k] = ways[i, w, k] - position[i, k]
                if hinge[k]:
                    way[k] -= 2.0 * math.pi * np.rint(way[k] / (2.0 * math.pi))
                    end = position[i, k] + way[k]
                    if end > high[k]:
                        way[k] -= 2.0 * math.pi
                    elif end < low[k]:
                        way[k] += 2.0 * math.pi
                square += way[k] * way[k]
            if square < best:  # false for NaN
                best = square
                least[i] = math.sqrt(square)
                nearest[i] = way
    return least, nearest
