"""All ways to bring a UR arm's tool to a pose, and which of them look free of contact.

The closed form gives joint configurations of the published arm. For a look at contacts the arm's
collision shapes are filled with balls, which may neither touch each other nor the table: that
takes forward kinematics alone, so that a robot's controller can do it too.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.robots import inverse
from reach_rl.robots.family import DenavitHartenberg, own_arm
from reach_rl.robots.model import Robot

Array = np.ndarray

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

    def solutions(self, position: Array, matrix: Array) -> Array:
        """All joint configurations that bring the tool there, (k, 8, 6) rad; NaN for none.

        Args:
            position: (k, 3) of the tool (m).
            matrix: (k, 3, 3) its axes as columns.
        """
        pose = np.zeros((len(position), 4, 4))
        pose[:, :3, :3], pose[:, :3, 3], pose[:, 3, 3] = matrix, position, 1.0
        return inverse.solutions(self.dh, self.base @ pose @ np.linalg.inv(self.tool))

    def free(self, joints: Array) -> Array:
        """Whether no balls touch at joint angles (..., 6) (rad); bool (...), False where NaN."""
        points = self.centres(joints)
        squares = np.einsum("...bi,...bi->...b", points, points)
        gap = squares[..., None] + squares[..., None, :]
        gap -= 2.0 * points @ np.swapaxes(points, -1, -2)
        apart = (gap >= self.balls.nearest).all(axis=(-1, -2))
        above = points[..., 2] - self.base[2, 3] >= self.balls.lowest
        return apart & above.all(axis=-1)

    def centres(self, joints: Array) -> Array:
        """Centres (..., b, 3) of the balls in frame 0 at joint angles (..., 6) (m)."""
        frames = inverse.frames(self.dh, joints)[..., self.balls.link, :, :]
        return (frames[..., :3, :3] @ self.balls.centre[:, :, None])[..., 0] + frames[..., :3, 3]

    def ways(self, position: Array, matrix: Array) -> Array:
        """The solutions that look free or, where none does, all of them.

        Args:
            position: (k, 3) of the tool (m).
            matrix: (k, 3, 3) its axes as columns.

        Returns:
            (k, 8, 6) rad; NaN for the others.
        """
        found = self.solutions(position, matrix)
        parts = [self.free(found[i : i + _CHUNK]) for i in range(0, len(found), _CHUNK)]
        free = np.concatenate(parts)
        found[~free & free.any(axis=1, keepdims=True)] = np.nan
        return found


def closed_form(robot: Robot) -> ClosedForm | None:
    """The closed form of an arm; None if it is not one of the project's own dimensions."""
    arm = own_arm(robot.name)
    if arm is None or robot.home.shape != (6,):
        return None
    data = mujoco.MjData(robot.model)
    base = _TURN.copy()
    base[:3, 3] = -_TURN[:3, :3] @ robot.base_position
    samples = robot.home + np.random.default_rng(0).uniform(-1.0, 1.0, (8, 6))
    tools = []
    for joints in (*samples, robot.home):  # the balls are measured at home, which comes last
        data.qpos[:] = robot.home_qpos
        data.qpos[robot.qpos_adr] = joints
        mujoco.mj_kinematics(robot.model, data)
        tool = _pose(data.site_xpos[robot.tcp_site], data.site_xmat[robot.tcp_site])
        tools.append(np.linalg.inv(inverse.forward(arm.dh, joints)) @ base @ tool)
    if np.abs(tools - tools[-1]).max() > 1e-4:
        return None
    return ClosedForm(arm.dh, base, tools[-1], _balls(robot, data, arm.dh, base))


def _balls(robot: Robot, data: mujoco.MjData, dh: DenavitHartenberg, base: Array) -> Balls:
    """Balls along the axes of capsules and cylinders, of an arm that is at home."""
    m = robot.model
    moving = {int(m.jnt_bodyid[m.dof_jntid[dof]]): i + 1 for i, dof in enumerate(robot.dof_adr)}
    inverses = np.linalg.inv(inverse.frames(dh, robot.home)) @ base
    rows = []
    capsule, cylinder = int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_CYLINDER)
    for geom in range(m.ngeom):
        if m.geom_type[geom] not in (capsule, cylinder):
            continue
        body = int(m.geom_bodyid[geom])
        while body and body not in moving:
            body = int(m.body_parentid[body])
        link = moving.get(body, 0)
        radius, half = m.geom_size[geom, :2]
        if m.geom_type[geom] == cylinder:
            half = max(half - radius, 0.0)
        pose = inverses[link] @ _pose(data.geom_xpos[geom], data.geom_xmat[geom])
        for along in np.linspace(-half, half, 1 + 2 * int(np.ceil(half / radius))):
            rows.append((link, geom, radius, pose[:3, :3] @ (0.0, 0.0, along) + pose[:3, 3]))
    rows.sort(key=lambda row: row[0])
    geoms, radius = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    listed = np.zeros((m.ngeom, m.ngeom), bool)
    listed[m.pair_geom1, m.pair_geom2] = listed[m.pair_geom2, m.pair_geom1] = True
    apart = radius[:, None] + radius + SELF_MARGIN
    tables = np.flatnonzero(m.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    on_table = listed[geoms[:, None], tables].any(axis=1)
    return Balls(
        link=np.array([row[0] for row in rows]),
        centre=np.array([row[3] for row in rows]),
        lowest=np.where(on_table, radius + TABLE_MARGIN, -np.inf),
        nearest=np.where(listed[geoms[:, None], geoms], apart**2, -1.0),
    )


def _pose(position: Array, matrix: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix.reshape(3, 3), position
    return pose
