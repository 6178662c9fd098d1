"""Reward terms: each returns (n,) numbers of a state. Looked up by name in TERMS.

A term is not weighted here. `scales` are its widths w from the configuration, (k,).
"""

from collections.abc import Callable, Mapping

import numpy as np

from reach_rl.config.schema import RewardConfig
from reach_rl.mdp.arrays import Array, dot, total
from reach_rl.mdp.rotations import norm
from reach_rl.mdp.state import Arm, State

Term = Callable[[State, Arm, Array], Array]


def distance(state: State, arm: Arm, scales: Array) -> Array:
    """d = |p* - p| (m)."""
    return state.distance


def distance_tanh(state: State, arm: Arm, scales: Array) -> Array:
    """Mean over w of 1 - tanh(d / w)."""
    return (1.0 - np.tanh(state.distance[:, None] / scales)).mean(axis=1)


def orientation_error(state: State, arm: Arm, scales: Array) -> Array:
    """Angle between tool and goal (rad)."""
    return state.angle


def keypoint_distance(state: State, arm: Arm, scales: Array) -> Array:
    """k = mean distance of the tool's key points from the goal's (m)."""
    return state.keypoint_distance


def keypoint_kernel(state: State, arm: Arm, scales: Array) -> Array:
    """Mean over w of exp(-k / w)."""
    return _kernels(state.keypoint_distance, scales)


def progress(state: State, arm: Arm, scales: Array) -> Array:
    """k_before - k: how much nearer the key points came in this step (m)."""
    return state.keypoint_progress


def joint_progress(state: State, arm: Arm, scales: Array) -> Array:
    """q_before - q, q the distance in the joints to the nearest known way to the goal (rad).

    It leads around what the straight way of the tool runs into: joint limits, and the arm itself.
    Only training knows such ways: those of the closed-form inverse kinematics that are free of
    contact, and for other arms the joint angles that the goal was drawn with.
    """
    return state.joint_progress


def hold_bonus(state: State, arm: Arm, scales: Array) -> Array:
    """1 while inside both thresholds."""
    return (state.inside_steps > 0).astype(np.float64)


def completion_bonus(state: State, arm: Arm, scales: Array) -> Array:
    """1 at the step at which the hold is completed."""
    return state.completed.astype(np.float64)


def stillness(state: State, arm: Arm, scales: Array) -> Array:
    """Mean over w of exp(-k / w) exp(-|dq/dt|): at rest near the goal."""
    near = _kernels(state.keypoint_distance, scales)
    return near * np.exp(-norm(state.joint_velocity))


def velocity_near_goal(state: State, arm: Arm, scales: Array) -> Array:
    """Mean over w of exp(-k / w), times |dq/dt|^2 (rad2/s2)."""
    return _kernels(state.keypoint_distance, scales) * _square(state.joint_velocity)


def action_rate(state: State, arm: Arm, scales: Array) -> Array:
    """|a - a_before|^2."""
    return _square(state.action - state.last_action)


def joint_velocity(state: State, arm: Arm, scales: Array) -> Array:
    """|dq/dt|^2 (rad2/s2)."""
    return _square(state.joint_velocity)


def joint_limit(state: State, arm: Arm, scales: Array) -> Array:
    """Sum over joints of how far they are inside the last w of their range, in units of w."""
    q = state.joint_position
    margin = np.minimum(q - arm.low, arm.high - q)
    return total(np.maximum(1.0 - margin / scales[0], 0.0))


def self_collision(state: State, arm: Arm, scales: Array) -> Array:
    """1 while the arm touches itself."""
    return state.self_contact.astype(np.float64)


def table_collision(state: State, arm: Arm, scales: Array) -> Array:
    """1 while the arm touches the table."""
    return state.table_contact.astype(np.float64)


def table_margin(state: State, arm: Arm, scales: Array) -> Array:
    """Sum over joints and tool of how deep they are inside the height w over the table, over w."""
    height = np.concatenate((state.joint_anchor[:, :, 2], state.tool_position[:, 2:]), axis=1)
    return total(np.maximum(1.0 - height / scales[0], 0.0))


def _kernels(distances: Array, scales: Array) -> Array:
    """Mean over w of exp(-d / w), (n,)."""
    return np.add.reduce(np.exp(np.multiply.outer(-1.0 / scales, distances))) / len(scales)


def _square(vectors: Array) -> Array:
    """|v|^2, (n,)."""
    return dot(vectors, vectors)


TERMS: Mapping[str, Term] = {
    f.__name__: f
    for f in (
        distance,
        distance_tanh,
        orientation_error,
        keypoint_distance,
        keypoint_kernel,
        progress,
        joint_progress,
        hold_bonus,
        completion_bonus,
        stillness,
        velocity_near_goal,
        action_rate,
        joint_velocity,
        joint_limit,
        self_collision,
        table_collision,
        table_margin,
    )
}

NEEDS_SCALES = frozenset(
    {
        "distance_tanh",
        "keypoint_kernel",
        "stillness",
        "velocity_near_goal",
        "joint_limit",
        "table_margin",
    }
)


class Reward:
    """The weighted sum of the configured terms. Weight 0 costs nothing."""

    def __init__(self, config: RewardConfig, arm: Arm) -> None:
        """Look up the terms."""
        self.arm = arm
        terms = {name: term for name, term in config.terms.items() if term is not None}
        self.names = tuple(terms)
        self.weights = np.array([term.weight for term in terms.values()])
        self._scales = [np.asarray(term.scales or [1.0]) for term in terms.values()]

    def __call__(self, state: State) -> tuple[Array, Array]:
        """The reward of n environments, (n,), and each term's weighted share of it, (n, terms)."""
        shares = np.zeros((len(state.distance), len(self.names)), order="F")
        for i, name in enumerate(self.names):
            if self.weights[i] != 0.0:
                shares[:, i] = self.weights[i] * TERMS[name](state, self.arm, self._scales[i])
        return total(shares), shares
