"""Where the tool of an arm is, as a graph."""

from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.bundles.graph import Value
from reach_rl.config.problems import ConfigError
from reach_rl.mdp.arrays import Array
from reach_rl.robots import RobotModel
from reach_rl.robots.joints import Parts, lineage, not_exported
from reach_rl.robots.model import left_product

HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


@dataclass(frozen=True, slots=True)
class ChainJoint:
    """One joint of the chain, with what is fixed before it."""

    joint: int
    """Its place among the policy's joints."""
    zero: float
    """Its angle in the model's own zero configuration (rad)."""
    hinge: bool
    axis: Array
    """(3,) in the frame that moves with it."""
    before: Array
    """(4, 4) from the frame of the joint before."""
    before_quaternion: Array
    """(4,) the same turn."""


@dataclass(frozen=True, slots=True)
class Chain:
    """From the world to the tool."""

    links: tuple[ChainJoint, ...]
    tool: Array
    """(4, 4) from the frame of the last joint."""
    tool_quaternion: Array
    """(4,) the same turn."""


def chain_of(robot: RobotModel) -> Chain:
    """The joints between the world and the tool; all others stand as at home.

    Raises:
        ConfigError: a joint of the policy does not move the tool, or a ball joint is on the way.
    """
    m = robot.model
    joints = m.dof_jntid[robot.dof_adr]
    for problem in not_exported(m, Parts(joints, robot.actuator_ids, robot.tcp_site)):
        raise ConfigError(f"run: {problem}")
    place = {int(m.dof_jntid[dof]): i for i, dof in enumerate(robot.dof_adr)}
    frame, links = FRAME, []
    for body in lineage(m, robot.tool_body):
        frame = _then(frame, m.body_pos[body], m.body_quat[body])
        first = int(m.body_jntadr[body])
        for joint in range(first, first + int(m.body_jntnum[body])):
            hinge, axis = int(m.jnt_type[joint]) == HINGE, m.jnt_axis[joint].copy()
            address = int(m.jnt_qposadr[joint])
            zero = float(m.qpos0[address])
            by = float(robot.home_qpos[address]) - zero
            frame = _then(frame, m.jnt_pos[joint])
            if joint in place:
                links.append(ChainJoint(place[joint], zero, hinge, axis, *frame))
                frame = FRAME
            elif hinge:
                turn = np.concatenate(([np.cos(by / 2)], np.sin(by / 2) * axis))
                frame = _then(frame, np.zeros(3), turn)
            else:
                frame = _then(frame, axis * by)
            frame = _then(frame, -m.jnt_pos[joint])
    site = robot.tcp_site
    return Chain(tuple(links), *_then(frame, m.site_pos[site], m.site_quat[site]))


Frame = tuple[Array, Array]
"""A transform (4, 4), and the quaternion (4,) of its turn."""

STILL = np.array([1.0, 0.0, 0.0, 0.0])
FRAME: Frame = (np.eye(4), STILL)


def _then(frame: Frame, position: Array, quaternion: Array = STILL) -> Frame:
    """A frame at a place in another one."""
    turn, moved = np.zeros(9), np.eye(4)
    mujoco.mju_quat2Mat(turn, np.asarray(quaternion, float))
    moved[:3, :3], moved[:3, 3] = turn.reshape(3, 3), position
    return frame[0] @ moved, _product(frame[1], quaternion)


def posture(chain: Chain, joint_position: Value) -> tuple[Value, Value, Value, Value]:
    """Where tool and joints are at joint angles (n, j), in the world.

    Returns:
        Position (n, 3) and quaternion (n, 4) of the tool, points (n, j, 3) on the joint axes and
        the directions (n, j, 3) of these, in the order of the policy's joints.
    """
    order = [joint.joint for joint in chain.links]
    moved = joint_position[:, order] - np.array([joint.zero for joint in chain.links])
    frames = _frames(chain, moved)
    tool = frames[-1] @ chain.tool
    stacked = np.concatenate([frame[:, None] for frame in frames], axis=1)
    back = np.argsort(order).tolist()
    axes = stacked[:, :, :3, :3] @ np.array([joint.axis for joint in chain.links])[..., None]
    quaternion = _quaternion(chain, moved)
    return tool[:, :3, 3], quaternion, stacked[:, back, :3, 3], axes[:, back, :, 0]


def _frames(chain: Chain, moved: Value) -> list[Value]:
    """The frame (n, 4, 4) of every joint, along the chain.

    A hinge turns by a a^T + cos (I - a a^T) + sin [a], a slide shifts by a: with all that is fixed
    multiplied in, constants times 1, cosine, sine and the angle itself.
    """
    fixed, cosine, sine, shift = (np.zeros((len(chain.links), 4, 4)) for _ in range(4))
    for i, joint in enumerate(chain.links):
        a = joint.axis
        if joint.hinge:
            fixed[i, :3, :3] = np.outer(a, a)
            fixed[i, 3, 3] = 1.0
            cosine[i, :3, :3] = np.eye(3) - np.outer(a, a)
            sine[i, :3, :3] = [[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]]
        else:
            fixed[i] = np.eye(4)
            shift[i, :3, 3] = a
        for part in (fixed, cosine, sine, shift):
            part[i] = joint.before @ part[i]
    q = moved[:, :, None, None]
    local = fixed + (np.cos(q) * cosine + np.sin(q) * sine)
    if shift.any():
        local = local + q * shift
    frames = [local[:, 0]]
    for i in range(1, len(chain.links)):
        frames.append(frames[-1] @ local[:, i])
    return frames


def _quaternion(chain: Chain, moved: Value) -> Value:
    """The tool's quaternion (n, 4), its sign as MuJoCo's own product of turns gives it."""
    fixed, cosine, sine = (np.zeros((len(chain.links), 4, 4)) for _ in range(3))
    for i, joint in enumerate(chain.links):
        if joint.hinge:
            turned = _product(joint.before_quaternion, np.concatenate(([0.0], joint.axis)))
            cosine[i], sine[i] = _right(joint.before_quaternion), _right(turned)
        else:
            fixed[i] = _right(joint.before_quaternion)
    half = (moved * 0.5)[:, :, None, None]
    local = fixed + (np.cos(half) * cosine + np.sin(half) * sine)
    value = np.array([1.0, 0.0, 0.0, 0.0])[:, None]
    for i in range(len(chain.links)):
        value = local[:, i] @ value
    return (_right(chain.tool_quaternion) @ value).reshape(0, 4)


def _product(a: Array, b: Array) -> Array:
    out = np.zeros(4)
    mujoco.mju_mulQuat(out, np.asarray(a, float), np.asarray(b, float))
    return out


def _right(q: Array) -> Array:
    """(4, 4) matrix that multiplies a quaternion by q from the right."""
    w, x, y, z = q
    return np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]])


def matrices(quaternion: Value) -> Value:
    """Axes as columns (n, 3, 3) of unit quaternions (n, 4): the products q p q*."""
    left = (quaternion @ _LEFT.reshape(4, 16)).reshape(-1, 4, 4)
    sign = np.outer(_CONJUGATE, _CONJUGATE)
    return (left @ (sign * left))[:, 1:, 1:]


_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])
_LEFT = np.stack([left_product(one) for one in np.eye(4)])
