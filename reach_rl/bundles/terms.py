"""The observation terms of reach_rl.mdp.observations as operations by the same names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from reach_rl.bundles import ways
from reach_rl.bundles.graph import DOUBLE, FLOAT, Graph
from reach_rl.bundles.kinematics import Posture
from reach_rl.config.schema import ObservationConfig
from reach_rl.mdp.state import Arm
from reach_rl.robots.inverse_kinematics import ClosedForm


@dataclass(frozen=True, slots=True)
class Scene:
    """Names of the values that the terms are made of; base frame, SI units, (n, ...) each."""

    arm: Arm
    joint_position: str
    joint_velocity: str
    tool: Posture
    goal_position: str
    goal_quaternion: str
    position_error: str
    rotation_error: str
    last_action: str | None
    self_contact: str | None
    form: ClosedForm | None


Term = Callable[[Graph, Scene], str]


def rotation_error(g: Graph, tool: str, goal: str) -> tuple[str, str]:
    """As mdp.arrays.rotation_error: axis times angle (n, 3), and the angle (n, 1)."""
    w0, v0 = g.take(goal, [0], 1), g.take(goal, [1, 2, 3], 1)
    w1, v1 = g.take(tool, [0], 1), g.take(tool, [1, 2, 3], 1)
    vector = g.sub(g.sub(g.mul(w1, v0), g.mul(w0, v1)), g.cross(v0, v1))
    cosine = g.sum(g.mul(goal, tool), 1, keep=True)
    other = g.op("Less", cosine, g.constant(0.0))
    vector = g.op("Where", other, g.op("Neg", vector), vector)
    sine = g.norm(vector, keep=True)
    angle = g.scale(g.atan2(sine, g.op("Abs", cosine)), 2.0)
    tiny = g.op("Less", sine, g.constant(1e-9))
    factor = g.op("Where", tiny, g.constant(2.0), g.div(angle, g.at_least(sine, 1e-9)))
    return g.mul(vector, factor), angle


def canonical(g: Graph, quaternion: str) -> str:
    """The same rotation with w >= 0."""
    below = g.op("Less", g.take(quaternion, [0], 1), g.constant(0.0))
    return g.op("Where", below, g.op("Neg", quaternion), quaternion)


def joint_position(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return g.sub(s.joint_position, g.constant(s.arm.home))


def joint_angle(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return g.concat([g.op("Cos", s.joint_position), g.op("Sin", s.joint_position)], 1)


def joint_velocity(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return s.joint_velocity


def tool_position(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return s.tool.position


def tool_quaternion(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return canonical(g, s.tool.quaternion)


def goal_position(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return s.goal_position


def goal_quaternion(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return canonical(g, s.goal_quaternion)


def goal_direction(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return g.div(s.position_error, g.at_least(g.norm(s.position_error, keep=True), 1e-9))


def position_error(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return s.position_error


def orientation_error(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    return s.rotation_error


def self_collision(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    assert s.self_contact is not None
    return g.reshape(s.self_contact, 0, 1)


def last_action(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    assert s.last_action is not None
    return s.last_action


def jacobian_transpose(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    j, e = _weighted(g, s)
    pull = g.sum(g.mul(j, g.reshape(e, 0, 1, 6)), 2)
    return g.div(pull, g.at_least(g.sum(g.mul(j, j), 2), 1e-9))


def damped_least_squares(g: Graph, s: Scene) -> str:
    """As the term of this name; the system is solved by Gauss and Jordan's elimination."""
    j, e = _weighted(g, s)
    normal = g.matmul(g.op("Transpose", j, perm=[0, 2, 1]), j)
    normal = g.add(normal, g.constant((0.05 * s.arm.keypoint_offset) ** 2 * np.eye(6)))
    system = g.concat([normal, g.reshape(e, 0, 6, 1)], 2)
    for k in range(6):  # positive definite: no pivot is small
        row = g.take(system, [k], 1)
        pivot = g.take(row, [k], 2)
        column = g.sub(g.take(system, [k], 2), g.constant(np.eye(6)[:, [k]]))
        system = g.sub(system, g.matmul(column, g.div(row, pivot)))
    return g.reshape(g.matmul(j, g.take(system, [6], 2)), 0, -1)


def joint_error(g: Graph, s: Scene) -> str:
    """As the term of this name."""
    assert s.form is not None
    return ways.joint_error(g, s.form, s.arm, s.joint_position, s.goal_position, s.goal_quaternion)


TERMS: Mapping[str, Term] = {
    f.__name__: f
    for f in (
        joint_position,
        joint_angle,
        joint_velocity,
        tool_position,
        tool_quaternion,
        goal_position,
        goal_quaternion,
        goal_direction,
        position_error,
        orientation_error,
        self_collision,
        last_action,
        jacobian_transpose,
        damped_least_squares,
        joint_error,
    )
}


def observation(g: Graph, scene: Scene, config: ObservationConfig) -> str:
    """The configured terms side by side (n, d), rounded to 32 bits as in training."""
    parts = []
    for name, term in config.terms.items():
        if term is None:
            continue
        value = TERMS[name](g, scene)
        if term.scales:
            widths = g.constant(np.asarray(term.scales)[:, None])
            value = g.op("Tanh", g.div(g.op("Unsqueeze", value, g.constant([1], np.int64)), widths))
            value = g.reshape(value, 0, -1)
        parts.append(value)
    return g.cast(g.cast(g.concat(parts, 1), FLOAT), DOUBLE)


def _weighted(g: Graph, s: Scene) -> tuple[str, str]:
    """The Jacobian's columns (n, j, 6) and the pose error (n, 6), turns times the offset."""
    offset = s.arm.keypoint_offset
    arm = g.sub(g.op("Unsqueeze", s.tool.position, g.constant([1], np.int64)), s.tool.anchor)
    linear, angular = g.cross(s.tool.axis, arm), s.tool.axis
    if not s.arm.hinge.all():
        hinge = g.constant(s.arm.hinge[None, :, None], np.bool_)
        linear = g.op("Where", hinge, linear, s.tool.axis)
        angular = g.op("Where", hinge, angular, g.constant(0.0))
    j = g.concat([linear, g.scale(angular, offset)], 2)
    return j, g.concat([s.position_error, g.scale(s.rotation_error, offset)], 1)
