"""Reward terms: each returns (n,) numbers of a state.

A term is not weighted here. Its keyword-only arguments are its keys in the configuration:
`scales` are widths w, (k,).
"""

import math

import numpy as np

from reach_rl.config.schema import RewardConfig, RewardTerm
from reach_rl.extend import entries, keys_of, reward_term
from reach_rl.mdp.arrays import Array, Bools, total
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import Arm, State
from reach_rl.mdp.terms import Bound, BoundTerms


@reward_term
def distance(state: State, arm: Arm) -> Array:
    """d = |p* - p| (m)."""
    return state.distance


@reward_term
def distance_tanh(state: State, arm: Arm, *, scales: Array) -> Array:
    """Mean over w of 1 - tanh(d / w)."""
    return (1.0 - np.tanh(state.distance[:, None] / scales)).mean(axis=1)


@reward_term
def orientation_error(state: State, arm: Arm) -> Array:
    """Angle between tool and goal (rad)."""
    return state.angle


@reward_term
def keypoint_distance(state: State, arm: Arm) -> Array:
    """k = mean distance of the tool's key points from the goal's (m)."""
    return state.keypoint_distance


@reward_term
def keypoint_kernel(state: State, arm: Arm, *, scales: Array) -> Array:
    """Mean over w of exp(-k / w)."""
    return _kernels(state.keypoint_distance, scales)


@reward_term
def progress(state: State, arm: Arm) -> Array:
    """k_before - k: how much nearer the key points came in this step (m)."""
    return state.keypoint_progress


@reward_term
def joint_progress(state: State, arm: Arm) -> Array:
    """q_before - q, q the distance in the joints to the nearest known way to the goal (rad).

    It leads around what the straight way of the tool runs into: joint limits, and the arm itself.
    Only training knows such ways: those of the closed-form inverse kinematics that are free of
    contact, and for other arms the joint angles that the goal was drawn with.
    """
    return state.joint_progress


@reward_term
def hold_bonus(state: State, arm: Arm) -> Array:
    """1 while inside both thresholds."""
    return (state.inside_steps > 0).astype(np.float64)


@reward_term
def completion_bonus(state: State, arm: Arm) -> Array:
    """1 at the step at which the hold is completed."""
    return state.completed.astype(np.float64)


@reward_term
def stillness(state: State, arm: Arm, *, scales: Array) -> Array:
    """Mean over w of exp(-k / w) exp(-|dq/dt|): at rest near the goal."""
    near = _kernels(state.keypoint_distance, scales)
    return near * np.exp(-np.sqrt(_square(state.joint_velocity)))


@reward_term
def velocity_near_goal(state: State, arm: Arm, *, scales: Array) -> Array:
    """Mean over w of exp(-k / w), times |dq/dt|^2 (rad2/s2)."""
    return _kernels(state.keypoint_distance, scales) * _square(state.joint_velocity)


@reward_term
def action_rate(state: State, arm: Arm) -> Array:
    """|a - a_before|^2."""
    return _square(state.action - state.last_action)


@reward_term
def joint_velocity(state: State, arm: Arm) -> Array:
    """|dq/dt|^2 (rad2/s2)."""
    return _square(state.joint_velocity)


@reward_term
def joint_limit(state: State, arm: Arm, *, scales: Array) -> Array:
    """Sum over joints of how far they are inside the last w of their range, in units of w."""
    return _depth_at_limits(state.joint_position, arm.low, arm.high, scales[0])


@reward_term
def self_collision(state: State, arm: Arm) -> Array:
    """1 while the arm touches itself."""
    return state.self_contact.astype(np.float64)


@reward_term
def table_collision(state: State, arm: Arm) -> Array:
    """1 while the arm touches the table."""
    return state.table_contact.astype(np.float64)


@reward_term
def table_margin(state: State, arm: Arm, *, scales: Array) -> Array:
    """Sum over joints and tool of how deep they are inside the height w over the table, over w.

    Those count whose height the arm can change.
    """
    heights = state.joint_anchor[:, :, 2], state.tool_position[:, 2]
    return _depth_at_table(*heights, arm.height_moves, scales[0])


@compiled("f8[::1](f8[:], f8[:])")
def _kernels(distances: Array, scales: Array) -> Array:
    """Mean over w of exp(-d / w), (n,)."""
    out = np.zeros(len(distances))
    for i in range(len(distances)):
        for w in scales:
            out[i] += math.exp(-distances[i] / w)
        out[i] /= len(scales)
    return out


@compiled("f8[::1](f8[:,:])")
def _square(vectors: Array) -> Array:
    """|v|^2, (n,)."""
    out = np.zeros(len(vectors))
    for i in range(len(vectors)):
        for k in range(vectors.shape[1]):
            out[i] += vectors[i, k] * vectors[i, k]
    return out


@compiled("f8[::1](f8[:,:], f8[:], f8[:], f8)")
def _depth_at_limits(position: Array, low: Array, high: Array, width: float) -> Array:
    out = np.zeros(len(position))
    for i in range(len(position)):
        for k in range(position.shape[1]):
            margin = min(position[i, k] - low[k], high[k] - position[i, k])
            out[i] += max(1.0 - margin / width, 0.0)
    return out


@compiled("f8[::1](f8[:,:], f8[:], b1[:], f8)")
def _depth_at_table(joints: Array, tool: Array, counts: Bools, width: float) -> Array:
    out = np.zeros(len(joints))
    for i in range(len(joints)):
        if counts[joints.shape[1]]:
            out[i] = max(1.0 - tool[i] / width, 0.0)
        for k in range(joints.shape[1]):
            if counts[k]:
                out[i] += max(1.0 - joints[i, k] / width, 0.0)
    return out


def _bound(name: str, term: RewardTerm) -> Bound:
    """A term and the values of its keys, its widths as an array."""
    function, keys = entries("reward_term")[name], term.arguments
    if "scales" in keys_of(function):
        keys["scales"] = np.asarray(term.scales or [1.0])
    return function, keys


class Reward:
    """The weighted sum of the configured terms. Weight 0 costs nothing."""

    def __init__(self, config: RewardConfig, arm: Arm, state: State) -> None:
        """Look up the terms, and try them on a state.

        Raises:
            ConfigError: a term does not give (n,) finite numbers of n environments.
        """
        terms = {name: term for name, term in config.terms.items() if term is not None}
        self.names = tuple(terms)
        self.terms = BoundTerms(
            "reward.terms", {k: _bound(k, t) for k, t in terms.items()}, state, arm
        )
        self.weights = np.array([term.weight for term in terms.values()])

    def __call__(self, state: State) -> tuple[Array, Array]:
        """The reward of n environments, (n,), and each term's weighted share of it, (n, terms).

        Raises:
            TermError: a term raises.
        """
        shares = np.zeros((len(state.distance), len(self.names)), order="F")
        for i, value in enumerate(self.terms(state, self.weights)):
            shares[:, i] = value
        shares *= self.weights
        return total(shares), shares
