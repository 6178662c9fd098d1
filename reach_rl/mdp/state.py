"""What the task's functions see: the state of n environments at one control step."""

from dataclasses import dataclass, fields, replace

import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints, total
from reach_rl.mdp.rotations import cross, norm, rotation_error


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
    """(n, j) the action of this step, in [-1, 1]."""
    last_action: Array
    """(n, j) the action of the step before."""
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
    def empty(cls, n: int, joints: int, ways: int = 0) -> "State":
        """A state of n environments, all zeros, with room for so many ways to a goal.

        In memory a component of all environments lies side by side: what is done with one
        component at a time (cross products, sums over three) is then several times faster.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "joint_position": (joints,),
            "joint_velocity": (joints,),
            "joint_anchor": (joints, 3),
            "joint_axis": (joints, 3),
            "tool_position": (3,),
            "tool_quaternion": (4,),
            "tool_matrix": (3, 3),
            "goal_position": (3,),
            "goal_quaternion": (4,),
            "goal_matrix": (3, 3),
            "goal_ways": (ways, joints),
            "action": (joints,),
            "last_action": (joints,),
            "position_error": (3,),
            "rotation_error": (3,),
        }
        kinds = {"self_contact": bool, "table_contact": bool, "completed": bool, "reached": bool}
        return cls(
            **{
                f.name: np.zeros(
                    (n, *shapes.get(f.name, ())),
                    np.int64 if f.name == "inside_steps" else kinds.get(f.name, np.float64),
                    order="F",
                )
                for f in fields(cls)
            }
        )

    def rows(self, rows: Ints) -> "State":
        """A copy with these environments only."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def measure(self, arm: Arm, rows: Ints | slice = slice(None)) -> None:
        """Refresh the errors of these rows from tool and goal."""
        position = self.goal_position[rows] - self.tool_position[rows]
        rotation = rotation_error(self.tool_quaternion[rows], self.goal_quaternion[rows])
        # the key points sit on the tool's axes, so their offsets are the columns of its matrix
        axes = self.goal_matrix[rows] - self.tool_matrix[rows]
        keypoints = position[:, :, None] + arm.keypoint_offset * axes
        self.position_error[rows] = position
        self.distance[rows] = norm(position)
        self.rotation_error[rows] = rotation
        self.angle[rows] = norm(rotation)
        lengths = np.sqrt(np.add.reduce(keypoints * keypoints, axis=1))
        self.keypoint_distance[rows] = total(lengths) / 3.0


def joint_distance(position: Array, ways: Array, arm: Arm) -> Array:
    """Distance in the joints to the nearest of some configurations, (n,) rad.

    Args:
        position: (n, j) joint angles (rad).
        ways: (n, w, j) configurations (rad); NaN where there is none. Full turns do not matter,
            but for the joint limits.
        arm: the arm.
    """
    way = _ways_to(position, ways, arm)
    lengths = np.sqrt(np.einsum("nwj,nwj->nw", way, way))
    return np.fmin.reduce(lengths, axis=1)


def joint_error(position: Array, ways: Array, arm: Arm) -> Array:
    """The way in the joints to the nearest of some configurations, (n, j) rad; 0 without any.

    Args:
        position: (n, j) joint angles (rad).
        ways: (n, w, j) configurations as joint_distance takes them (rad).
        arm: the arm.
    """
    if not ways.shape[1]:
        return np.zeros_like(position)
    way = _ways_to(position, ways, arm)
    squares = np.einsum("nwj,nwj->nw", way, way)
    nearest = np.argmin(np.where(np.isnan(squares), np.inf, squares), axis=1)
    return np.nan_to_num(way[np.arange(len(way)), nearest])


def _ways_to(position: Array, ways: Array, arm: Arm) -> Array:
    """Ways (n, w, j) to configurations, short of full turns but within the joint limits (rad)."""
    way = ways - position[:, None]
    turns = np.round(way / (2.0 * np.pi)) * arm.hinge
    way -= 2.0 * np.pi * turns
    end = position[:, None] + way
    way -= 2.0 * np.pi * arm.hinge * ((end > arm.high).astype(np.float64) - (end < arm.low))
    return way


def jacobian(state: State, arm: Arm) -> tuple[Array, Array]:
    """Jacobians of the tool centre point, (n, j, 3) linear (m/rad) and (n, j, 3) angular."""
    lever = cross(state.joint_axis, state.tool_position[:, None, :] - state.joint_anchor)
    if arm.hinge.all():
        return lever, state.joint_axis
    hinge = arm.hinge[None, :, None]
    return np.where(hinge, lever, state.joint_axis), np.where(hinge, state.joint_axis, 0.0)
