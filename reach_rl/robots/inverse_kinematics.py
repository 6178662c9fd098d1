"""All ways to bring a UR arm's tool to a pose, and which of them look free of contact.

The closed form gives joint configurations of the published arm. For a look at contacts the arm's
collision shapes are filled with balls, which may neither touch each other nor the table: that
takes forward kinematics alone, so that a robot's controller can do it too.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from reach_rl.robots.family import DenavitHartenberg, own_arm
from reach_rl.robots.joints import lineage
from reach_rl.robots.model import RobotModel

Array = np.ndarray
Value = Any
"""An array, or a value of a graph, which takes part in the same operations."""

WAYS = 8
"""Most configurations that reach one pose."""

CHOICES = tuple(
    np.array([1.0 if way >> bit & 1 else -1.0 for way in range(WAYS)]) for bit in range(3)
)
"""Signs (8,) of shoulder, wrist and elbow in each way."""

_NEAR = 1e-6

TABLE_MARGIN, SELF_MARGIN = 0.02, 0.01
"""Least distance of balls from the table, and from each other (m)."""

_CHUNK = 64

_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the base frame to that of the published dimensions: half a turn about z."""


@dataclass(frozen=True, slots=True)
class Balls:
    """Balls that fill the collision shapes; b of them, sorted by link."""

    link: Array
    """(b,) how many joints move the ball."""
    centre: Array
    """(b, 3) in the frame of its link in the published dimensions (m)."""
    lowest: Array
    """(b,) least height of the centre above the table (m)."""
    nearest: Array
    """(b, b) least squared distance of two centres, below 0 for two that may touch (m2)."""


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """The closed form of one arm with its tool."""

    dh: DenavitHartenberg
    base: Array
    """(4, 4) from the base frame to frame 0 of the published dimensions."""
    tool: Array
    """(4, 4) of the tool centre point in the frame of the flange."""
    balls: Balls

    def solutions(self, position: Value, matrix: Value) -> Value:
        """All joint configurations that bring the tool there, (k, 8, 6) rad; NaN for none.

        Args:
            position: (k, 3) of the tool (m).
            matrix: (k, 3, 3) its axes as columns.
        """
        top = np.concatenate((matrix, position[..., None]), axis=-1)
        bottom = 0.0 * top[..., :1, :] + np.array([0.0, 0.0, 0.0, 1.0])
        pose = np.concatenate((top, bottom), axis=-2)
        return solutions(self.dh, self.base @ pose @ np.linalg.inv(self.tool))

    def free(self, joints: Value) -> Value:
        """Whether no balls touch at joint angles (..., 6) (rad); bool (...), False where NaN."""
        points = self.centres(joints)
        squares = np.einsum("...bi,...bi->...b", points, points)
        gap = squares[..., None] + squares[..., None, :]
        gap = gap - 2.0 * np.einsum("...bi,...ci->...bc", points, points)
        apart = np.logical_and.reduce(gap >= self.balls.nearest, axis=(-1, -2))
        above = points[..., 2] - self.base[2, 3] >= self.balls.lowest
        return np.logical_and(apart, np.logical_and.reduce(above, axis=-1))

    def centres(self, joints: Value) -> Value:
        """Centres (..., b, 3) of the balls in frame 0 at joint angles (..., 6) (m)."""
        parts = []
        for i, at in enumerate(frames(self.dh, joints)):
            centre = self.balls.centre[self.balls.link == i]
            parts.append(at[..., :3, :3] @ centre.T + at[..., :3, 3:])
        return np.einsum("...ib->...bi", np.concatenate(parts, axis=-1))

    def ways(self, position: Value, matrix: Value) -> Value:
        """The solutions that look free or, where none does, all of them; NaN for the others."""
        found = self.solutions(position, matrix)
        free = self.free(found)
        none = np.maximum.reduce(np.where(free, 1.0, 0.0), axis=1, keepdims=True) == 0.0
        return np.where(np.logical_or(free, none)[..., None], found, np.nan)

    def all_ways(self, position: Array, matrix: Array) -> Array:
        """The same of many poses, a few at a time."""
        parts = [
            self.ways(position[i : i + _CHUNK], matrix[i : i + _CHUNK])
            for i in range(0, len(position), _CHUNK)
        ]
        return np.concatenate(parts)


def closed_form(robot: RobotModel) -> ClosedForm | None:
    """The closed form of an upright arm; None if it has not the dimensions of one of ours."""
    arm = own_arm(robot.name)
    upright = robot.base_matrix[2, 2] > 1.0 - 1e-9
    if arm is None or robot.home.shape != (6,) or not upright:
        return None
    data = mujoco.MjData(robot.model)
    base = _TURN.copy()
    base[:3, :3] = _TURN[:3, :3] @ robot.base_matrix.T
    base[:3, 3] = -base[:3, :3] @ robot.base_position
    samples = robot.home + np.random.default_rng(0).uniform(-1.0, 1.0, (8, 6))
    tools = []
    for joints in (*samples, robot.home):  # the balls are measured at home, which comes last
        data.qpos[:] = robot.home_qpos
        data.qpos[robot.qpos_adr] = joints
        mujoco.mj_kinematics(robot.model, data)
        tool = _pose(data.site_xpos[robot.tcp_site], data.site_xmat[robot.tcp_site])
        tools.append(np.linalg.inv(forward(arm.dh, joints)) @ base @ tool)
    if np.abs(tools - tools[-1]).max() > 1e-4:
        return None
    return ClosedForm(arm.dh, base, tools[-1], _balls(robot, data, arm.dh, base))


def _balls(robot: RobotModel, data: mujoco.MjData, dh: DenavitHartenberg, base: Array) -> Balls:
    """Balls along the axes of capsules and cylinders, of an arm that is at home."""
    m = robot.model
    moving = {int(m.jnt_bodyid[m.dof_jntid[dof]]): i + 1 for i, dof in enumerate(robot.dof_adr)}
    inverses = np.linalg.inv(np.stack(frames(dh, robot.home))) @ base
    rows = []
    capsule, cylinder = int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_CYLINDER)
    for geom in range(m.ngeom):
        if m.geom_type[geom] not in (capsule, cylinder):
            continue
        link = max((moving.get(b, 0) for b in lineage(m, m.geom_bodyid[geom])), default=0)
        radius, half = m.geom_size[geom, :2]
        if m.geom_type[geom] == cylinder:
            half = max(half - radius, 0.0)
        pose = inverses[link] @ _pose(data.geom_xpos[geom], data.geom_xmat[geom])
        for along in np.linspace(-half, half, 1 + 2 * int(np.ceil(half / radius))):
            rows.append((link, geom, radius, pose[:3, :3] @ (0.0, 0.0, along) + pose[:3, 3]))
    rows.sort(key=lambda row: row[0])
    links, geoms, radius, centres = (np.array(column) for column in zip(*rows, strict=True))
    listed = np.zeros((m.ngeom, m.ngeom), bool)
    listed[m.pair_geom1, m.pair_geom2] = listed[m.pair_geom2, m.pair_geom1] = True
    apart = radius[:, None] + radius + SELF_MARGIN
    tables = np.flatnonzero(m.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    on_table = listed[geoms[:, None], tables].any(axis=1)
    return Balls(
        link=links,
        centre=centres,
        lowest=np.where(on_table, radius + TABLE_MARGIN, -np.inf),
        nearest=np.where(listed[geoms[:, None], geoms], apart**2, -1.0),
    )


def _pose(position: Array, matrix: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix.reshape(3, 3), position
    return pose


def forward(dh: DenavitHartenberg, joints: Value) -> Value:
    """Poses (..., 4, 4) of the flange in DH frame 0 for joint angles (..., 6)."""
    return frames(dh, joints)[6]


def frames(dh: DenavitHartenberg, joints: Value) -> list[Value]:
    """Poses (..., 4, 4) of DH frames 0 to 6 in frame 0 for joint angles (..., 6)."""
    found = [0.0 * joints[..., :1, None] + np.eye(4)]
    for i in range(6):
        found.append(found[-1] @ link(dh, i, joints[..., i]))
    return found


def solutions(dh: DenavitHartenberg, pose: Value) -> Value:
    """Joint angles that reach poses.

    Args:
        dh: the arm.
        pose: (k, 4, 4) of the flange in DH frame 0.

    Returns:
        (k, 8, 6) joint angles within -pi and pi (rad); NaN where there is no such way.
    """
    d4, d6, a2, a3 = dh.d[3], dh.d[5], dh.a[1], dh.a[2]
    pose = pose[:, None]  # (k, 1, 4, 4), ways alongside
    shoulder, wrist, elbow = (signs[None] for signs in CHOICES)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = pose[..., :3, 3] - d6 * pose[..., :3, 2]
        x, y = centre[..., 0], centre[..., 1]
        q1 = np.arctan2(y, x) + shoulder * np.arccos(d4 / np.hypot(x, y)) + np.pi / 2
        s1, c1 = np.sin(q1), np.cos(q1)
        q5 = wrist * _arccos((pose[..., 0, 3] * s1 - pose[..., 1, 3] * c1 - d4) / d6)
        sign = np.sign(np.sin(q5))
        q6 = np.arctan2(
            sign * (-pose[..., 0, 1] * s1 + pose[..., 1, 1] * c1),
            sign * (pose[..., 0, 0] * s1 - pose[..., 1, 0] * c1),
        )
        tail = link(dh, 4, q5) @ link(dh, 5, q6)
        middle = _inverse(link(dh, 0, q1)) @ pose @ _inverse(tail)  # from joint 2 to joint 4
        arm = middle[..., :3, 3] - d4 * middle[..., :3, 1]
        far = np.hypot(arm[..., 0], arm[..., 1])
        q3 = elbow * _arccos((far**2 - a2**2 - a3**2) / (2.0 * a2 * a3))
        q2 = np.arctan2(-arm[..., 1], -arm[..., 0]) - np.arcsin(
            np.clip(-a3 * np.sin(q3) / far, -1.0, 1.0)
        )
        last = _inverse(link(dh, 1, q2) @ link(dh, 2, q3)) @ middle
        q4 = np.arctan2(last[..., 1, 0], last[..., 0, 0])
        found = np.concatenate([q[..., None] for q in (q1, q2, q3, q4, q5, q6)], axis=-1)
        found = (found + np.pi) % (2.0 * np.pi) - np.pi
        near = np.abs(forward(dh, found) - pose) < _NEAR
    there = np.logical_and.reduce(near, axis=(-1, -2))
    return np.where(there[..., None], found, np.nan)


def link(dh: DenavitHartenberg, i: int, q: Value) -> Value:
    """Transforms (..., 4, 4) of one joint at angles (...): a turn about z, then what is fixed."""
    c, s = np.cos(dh.alpha[i]), np.sin(dh.alpha[i])
    fixed = np.array([[1, 0, 0, dh.a[i]], [0, c, -s, 0], [0, s, c, dh.d[i]], [0, 0, 0, 1]])
    cosine, sine, rest = np.zeros((3, 4, 4))
    cosine[:2], sine[:2], rest[2:] = fixed[:2], (-fixed[1], fixed[0]), fixed[2:]
    angle = q[..., None, None]
    return np.cos(angle) * cosine + np.sin(angle) * sine + rest


def _inverse(pose: Value) -> Value:
    """Inverses of rigid transforms (..., 4, 4)."""
    turned = np.einsum("...ij->...ji", pose[..., :3, :3])
    top = np.concatenate((turned, -(turned @ pose[..., :3, 3:])), axis=-1)
    return np.concatenate((top, pose[..., 3:, :]), axis=-2)


def _arccos(value: Value) -> Value:
    """Of values that rounding may have put a little outside -1 and 1; NaN beyond."""
    return np.arccos(np.where(np.abs(value) < 1.0 + 1e-9, np.clip(value, -1.0, 1.0), np.nan))
