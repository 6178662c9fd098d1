"""Forward kinematics of an arm as operations: tool pose, and axes and anchors of its joints."""

from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.bundles.graph import Graph
from reach_rl.config.problems import ConfigError
from reach_rl.mdp.arrays import Array
from reach_rl.robots import RobotModel

HINGE, SLIDE = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)


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
    place = {int(m.dof_jntid[dof]): i for i, dof in enumerate(robot.dof_adr)}
    bodies = [robot.tool_body]
    while bodies[0]:
        bodies.insert(0, int(m.body_parentid[bodies[0]]))
    pending, turn = np.eye(4), np.array([1.0, 0.0, 0.0, 0.0])
    links = []
    for body in bodies[1:]:
        pending = pending @ _transform(m.body_pos[body], m.body_quat[body])
        turn = _product(turn, m.body_quat[body])
        first = int(m.body_jntadr[body])
        for joint in range(first, first + int(m.body_jntnum[body])):
            kind, axis, anchor = int(m.jnt_type[joint]), m.jnt_axis[joint], m.jnt_pos[joint]
            if kind not in (HINGE, SLIDE):
                raise ConfigError(
                    f'run: joint "{m.joint(joint).name}" on the way to the tool is a ball or free '
                    f"joint, which export cannot write"
                )
            address = int(m.jnt_qposadr[joint])
            zero = float(m.qpos0[address])
            pending = pending @ _shift(anchor)
            if joint in place:
                links.append(
                    ChainJoint(place[joint], zero, kind == HINGE, axis.copy(), pending, turn)
                )
                pending, turn = np.eye(4), np.array([1.0, 0.0, 0.0, 0.0])
            elif kind == HINGE:
                quaternion = _axis_angle(axis, float(robot.home_qpos[address]) - zero)
                pending = pending @ _transform(np.zeros(3), quaternion)
                turn = _product(turn, quaternion)
            else:
                pending = pending @ _shift(axis * (float(robot.home_qpos[address]) - zero))
            pending = pending @ _shift(-anchor)
    if len(links) != len(place):
        missing = sorted(set(place.values()) - {link.joint for link in links})
        names = ", ".join(robot.joint_names[i] for i in missing)
        raise ConfigError(f"run: {names} cannot move the tool, which export cannot write")
    site = robot.tcp_site
    tool = pending @ _transform(m.site_pos[site], m.site_quat[site])
    return Chain(tuple(links), tool, _product(turn, m.site_quat[site]))


@dataclass(frozen=True, slots=True)
class Posture:
    """Names of the values that follow from the joint angles, base frame."""

    position: str
    """(n, 3) of the tool."""
    quaternion: str
    """(n, 4) of the tool."""
    anchor: str
    """(n, j, 3) points on the joint axes, in the order of the policy's joints."""
    axis: str
    """(n, j, 3) their directions."""


def posture(g: Graph, chain: Chain, joint_position: str) -> Posture:
    """Tool pose, anchors and axes at joint angles (n, j)."""
    order = [link.joint for link in chain.links]
    moved = g.sub(g.take(joint_position, order, 1), g.constant([link.zero for link in chain.links]))
    frames = _frames(g, chain, moved)
    tool = g.matmul(frames[-1], g.constant(chain.tool))
    stacked = g.concat([g.reshape(frame, 0, 1, 4, 4) for frame in frames], 1)
    back = np.argsort(order).tolist()
    anchor = g.take(g.take(g.take(stacked, 3, 3), [0, 1, 2], 2), back, 1)
    turns = g.take(g.take(stacked, [0, 1, 2], 2), [0, 1, 2], 3)
    axes = g.matmul(turns, g.constant(np.array([link.axis for link in chain.links])[..., None]))
    return Posture(
        position=g.take(g.take(tool, 3, 2), [0, 1, 2], 1),
        quaternion=_quaternion(g, chain, moved),
        anchor=anchor,
        axis=g.take(g.reshape(axes, 0, 0, 3), back, 1),
    )


def _frames(g: Graph, chain: Chain, moved: str) -> list[str]:
    """The frame (n, 4, 4) of every joint, along the chain.

    A hinge turns by a a^T + cos (I - a a^T) + sin [a], a slide shifts by a: with all that is fixed
    multiplied in, constants times 1, cosine, sine and the angle itself.
    """
    fixed, cosine, sine, shift = (np.zeros((len(chain.links), 4, 4)) for _ in range(4))
    for i, link in enumerate(chain.links):
        a = link.axis
        if link.hinge:
            fixed[i, :3, :3] = np.outer(a, a)
            fixed[i, 3, 3] = 1.0
            cosine[i, :3, :3] = np.eye(3) - np.outer(a, a)
            sine[i, :3, :3] = [[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]]
        else:
            fixed[i] = np.eye(4)
            shift[i, :3, 3] = a
        for part in (fixed, cosine, sine, shift):
            part[i] = link.before @ part[i]
    q = g.reshape(moved, 0, 0, 1, 1)
    local = g.add(
        g.constant(fixed),
        g.add(g.scale(g.op("Cos", q), cosine), g.scale(g.op("Sin", q), sine)),
    )
    if shift.any():
        local = g.add(local, g.scale(q, shift))
    frames: list[str] = []
    for i in range(len(chain.links)):
        own = g.take(local, i, 1)
        frames.append(g.matmul(frames[-1], own) if frames else own)
    return frames


def _quaternion(g: Graph, chain: Chain, moved: str) -> str:
    """The tool's quaternion (n, 4), its sign as MuJoCo's own product of turns gives it."""
    half = g.reshape(g.scale(moved, 0.5), 0, 0, 1, 1)
    cosine, sine = (np.zeros((len(chain.links), 4, 4)) for _ in range(2))
    fixed = np.zeros((len(chain.links), 4, 4))
    for i, link in enumerate(chain.links):
        if link.hinge:
            turned = _product(link.before_quaternion, np.concatenate(([0.0], link.axis)))
            cosine[i], sine[i] = _right(link.before_quaternion), _right(turned)
        else:
            fixed[i] = _right(link.before_quaternion)
    local = g.add(
        g.constant(fixed),
        g.add(g.scale(g.op("Cos", half), cosine), g.scale(g.op("Sin", half), sine)),
    )
    value = g.constant(np.array([1.0, 0.0, 0.0, 0.0])[:, None])
    for i in range(len(chain.links)):
        value = g.matmul(g.take(local, i, 1), value)
    value = g.matmul(g.constant(_right(chain.tool_quaternion)), value)
    return g.reshape(value, 0, 4)


def _product(a: Array, b: Array) -> Array:
    out = np.zeros(4)
    mujoco.mju_mulQuat(out, np.asarray(a, float), np.asarray(b, float))
    return out


def _right(q: Array) -> Array:
    """(4, 4) matrix that multiplies a quaternion by q from the right."""
    w, x, y, z = q
    return np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]])


def _axis_angle(axis: Array, angle: float) -> Array:
    return np.concatenate(([np.cos(angle / 2)], np.sin(angle / 2) * axis))


def _shift(vector: Array) -> Array:
    out = np.eye(4)
    out[:3, 3] = vector
    return out


def _transform(position: Array, quaternion: Array) -> Array:
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, np.asarray(quaternion, float))
    out = _shift(position)
    out[:3, :3] = turn.reshape(3, 3)
    return out
