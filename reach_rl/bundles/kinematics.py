"""Kinematics of an arm as a graph: where the tool is, and by closed form the ways to a goal."""

from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.bundles.graph import Value
from reach_rl.config.problems import ConfigError
from reach_rl.mdp.arrays import Array
from reach_rl.robots import RobotModel
from reach_rl.robots.family import DenavitHartenberg
from reach_rl.robots.inverse_kinematics import CHOICES, Balls, ClosedForm, link
from reach_rl.robots.joints import Parts, not_exported

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
    joints = m.dof_jntid[robot.dof_adr]
    for problem in not_exported(m, Parts(joints, robot.actuator_ids, robot.tcp_site)):
        raise ConfigError(f"run: {problem}")
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
    site = robot.tcp_site
    tool = pending @ _transform(m.site_pos[site], m.site_quat[site])
    return Chain(tuple(links), tool, _product(turn, m.site_quat[site]))


@dataclass(frozen=True, slots=True)
class Posture:
    """What follows from the joint angles, base frame."""

    position: Value
    """(n, 3) of the tool."""
    quaternion: Value
    """(n, 4) of the tool."""
    anchor: Value
    """(n, j, 3) points on the joint axes, in the order of the policy's joints."""
    axis: Value
    """(n, j, 3) their directions."""


def posture(chain: Chain, joint_position: Value) -> Posture:
    """Tool pose, anchors and axes at joint angles (n, j)."""
    order = [joint.joint for joint in chain.links]
    moved = joint_position[:, order] - np.array([joint.zero for joint in chain.links])
    frames = _frames(chain, moved)
    tool = frames[-1] @ chain.tool
    stacked = np.concatenate([frame[:, None] for frame in frames], axis=1)
    back = np.argsort(order).tolist()
    axes = stacked[:, :, :3, :3] @ np.array([joint.axis for joint in chain.links])[..., None]
    return Posture(
        position=tool[:, :3, 3],
        quaternion=_quaternion(chain, moved),
        anchor=stacked[:, back, :3, 3],
        axis=axes[:, back, :, 0],
    )


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


def ways(form: ClosedForm, position: Value, quaternion: Value) -> tuple[Value, Value]:
    """As ClosedForm.ways: (n, 8, 6) rad, and (n, 8) 1 for the ways that count, else 0."""
    found, there = solutions(form, position, quaternion)
    free = there * _free(form.dh, form.balls, float(form.base[2, 3]), found)
    some = np.maximum.reduce(free, axis=1, keepdims=True)
    return found, free + there * (1.0 - some)


def solutions(form: ClosedForm, position: Value, quaternion: Value) -> tuple[Value, Value]:
    """The closed form's (n, 8, 6) rad, and (n, 8) 1 where there is such a way, else 0.

    As robots.inverse_kinematics.solutions. The angles may differ from those by full turns, and
    mean nothing where there is no way.
    """
    dh = form.dh
    d4, d6, a2, a3 = dh.d[3], dh.d[5], dh.a[1], dh.a[2]
    shoulder, wrist, elbow = (choice[None] for choice in CHOICES)
    pose = form.base @ _pose(position, quaternion) @ np.linalg.inv(form.tool)
    flange = pose[:, None]  # (n, 1, 4, 4), ways alongside
    x, y = (flange[..., i, 3] - d6 * flange[..., i, 2] for i in (0, 1))
    lift, there1 = _arccos(d4 / np.maximum(np.sqrt(x * x + y * y), 1e-9))
    q1 = np.arctan2(y, x) + shoulder * lift + np.pi / 2
    s1, c1 = np.sin(q1), np.cos(q1)

    def across(column: int) -> Value:
        return flange[..., 0, column] * s1 - flange[..., 1, column] * c1

    bend, there2 = _arccos((across(3) - d4) * (1.0 / d6))
    q5 = wrist * bend
    sign = np.sign(np.sin(q5))
    q6 = np.arctan2(-(sign * across(1)), sign * across(0))
    middle = _link(dh, 0, q1, back=True) @ flange
    for i, q in ((5, q6), (4, q5)):
        middle = middle @ _link(dh, i, q, back=True)
    u, v = (middle[..., i, 3] - d4 * middle[..., i, 1] for i in (0, 1))
    square = u * u + v * v
    bend, there3 = _arccos((square - (a2**2 + a3**2)) * (1.0 / (2.0 * a2 * a3)))
    q3 = elbow * bend
    lean = np.clip(-a3 * np.sin(q3) / np.maximum(np.sqrt(square), 1e-9), -1.0, 1.0)
    q2 = np.arctan2(-v, -u) - np.arctan2(lean, np.sqrt(1.0 - lean * lean))
    last = _link(dh, 2, q3, back=True) @ (_link(dh, 1, q2, back=True) @ middle)
    q4 = np.arctan2(last[..., 1, 0], last[..., 0, 0])
    found = [q[:, :, None] for q in (q1, q2, q3, q4, q5, q6)]
    return np.concatenate(found, axis=2), there1 * there2 * there3


def _free(dh: DenavitHartenberg, balls: Balls, table: float, joints: Value) -> Value:
    """As ClosedForm.free: (n, 8) 1 where no balls touch, else 0."""
    frames = [_link(dh, 0, joints[:, :, 0])]
    for i in range(1, 6):
        frames.append(frames[-1] @ _link(dh, i, joints[:, :, i]))
    parts = [frame @ _columns(balls, i + 1) for i, frame in enumerate(frames)]
    parts.insert(0, parts[0][..., :1] * 0.0 + _columns(balls, 0))
    points = np.concatenate(parts, axis=3)[:, :, :3]  # (n, 8, 3, b)
    squares = (points * points).sum(axis=2)
    gap = squares[:, :, :, None] + squares[:, :, None]
    gap = gap - 2.0 * (points.transpose(0, 1, 3, 2) @ points) - balls.nearest
    least = np.minimum.reduce(np.minimum.reduce(gap, axis=3), axis=2)
    clear = np.minimum.reduce(points[:, :, 2] - (balls.lowest + table), axis=2)
    return (np.minimum(least, clear) >= 0.0).astype(np.float64)


def _columns(balls: Balls, moved_by: int) -> Array:
    """Centres of a link's balls as columns (4, k)."""
    centres = balls.centre[balls.link == moved_by].T
    return np.concatenate((centres, np.ones((1, centres.shape[1]))))


def _link(dh: DenavitHartenberg, i: int, q: Value, back: bool = False) -> Value:
    """Transforms (n, 8, 4, 4) of one joint at angles (n, 8), or their inverses."""
    after = link(dh, i, np.zeros(()))
    cosine, sine, fixed = np.diag([1.0, 1.0, 0.0, 0.0]), np.zeros((4, 4)), np.diag([0.0, 0, 1, 1])
    sine[1, 0], sine[0, 1] = 1.0, -1.0
    if back:
        parts = [np.linalg.inv(after) @ part.T for part in (cosine, sine, fixed)]
    else:
        parts = [part @ after for part in (cosine, sine, fixed)]
    angle = q[:, :, None, None]
    return np.cos(angle) * parts[0] + np.sin(angle) * parts[1] + parts[2]


def _pose(position: Value, quaternion: Value) -> Value:
    """Transforms (n, 4, 4) of unit quaternions (n, 4) and positions (n, 3)."""
    products = (quaternion[:, :, None] * quaternion[:, None]).reshape(0, 16)
    w, x, y, z = range(4)
    turn, shift = np.zeros((4, 4, 4, 4)), np.zeros((3, 4, 4))
    for a, b, c in ((x, y, z), (y, z, x), (z, x, y)):
        i, j = a - 1, b - 1
        turn[w, w, i, i] = turn[a, a, i, i] = 1.0
        turn[b, b, i, i] = turn[c, c, i, i] = -1.0
        turn[a, b, i, j] = turn[a, b, j, i] = 2.0
        turn[w, c, j, i], turn[w, c, i, j] = 2.0, -2.0
        shift[i, i, 3] = turn[a, a, 3, 3] = 1.0
    turn[w, w, 3, 3] = 1.0
    flat = products @ turn.reshape(16, 16) + position @ shift.reshape(3, 16)
    return flat.reshape(0, 4, 4)


def _arccos(value: Value) -> tuple[Value, Value]:
    """The arc cosine of values clipped to -1 and 1, and 1 where they were inside, else 0."""
    inside = (np.abs(value) <= 1.0 + 1e-9).astype(np.float64)
    cosine = np.clip(value, -1.0, 1.0)
    return np.arctan2(np.sqrt(1.0 - cosine * cosine), cosine), inside
