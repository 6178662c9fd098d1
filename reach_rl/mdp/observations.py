"""Observation terms: each returns (n, k) numbers of a state.

Most are exported as they stand, for arrays of the state may be values of an ONNX graph. What a
graph cannot run has a second function beside it.
"""

from collections.abc import Callable

import numpy as np

from reach_rl.config.schema import ObservationConfig
from reach_rl.extend import entries, observation_term
from reach_rl.mdp.arrays import Array, Bools, Ints, canonical, cross, norm
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import Arm, State, nearest_way
from reach_rl.mdp.terms import BoundTerms


@observation_term
def joint_position(state: State, arm: Arm) -> Array:
    """q - home, (n, j) rad."""
    return state.joint_position - arm.home


@observation_term
def joint_angle(state: State, arm: Arm) -> Array:
    """cos q and sin q, (n, 2 j)."""
    q = state.joint_position
    return np.concatenate((np.cos(q), np.sin(q)), axis=1)


@observation_term
def joint_velocity(state: State, arm: Arm) -> Array:
    """dq/dt, (n, j) rad/s."""
    return state.joint_velocity


@observation_term
def tool_position(state: State, arm: Arm) -> Array:
    """p, (n, 3) m in the base frame."""
    return state.tool_position


@observation_term
def tool_quaternion(state: State, arm: Arm) -> Array:
    """(w, x, y, z) of the tool in the base frame with w >= 0, (n, 4)."""
    return canonical(state.tool_quaternion)


@observation_term
def goal_position(state: State, arm: Arm) -> Array:
    """p*, (n, 3) m in the base frame."""
    return state.goal_position


@observation_term
def goal_quaternion(state: State, arm: Arm) -> Array:
    """(w, x, y, z) of the goal in the base frame with w >= 0, (n, 4)."""
    return canonical(state.goal_quaternion)


@observation_term
def goal_direction(state: State, arm: Arm) -> Array:
    """(p* - p) / |p* - p|, (n, 3); zero at the goal."""
    return state.position_error / np.maximum(norm(state.position_error), 1e-9)[:, None]


@observation_term
def position_error(state: State, arm: Arm) -> Array:
    """p* - p, (n, 3) m in the base frame."""
    return state.position_error


@observation_term
def orientation_error(state: State, arm: Arm) -> Array:
    """Axis times angle of R* R^T, (n, 3) rad in the base frame."""
    return state.rotation_error


@observation_term
def self_collision(state: State, arm: Arm) -> Array:
    """1 while the arm touches itself, (n, 1)."""
    return state.self_contact[:, None].astype(np.float64)


@observation_term
def last_action(state: State, arm: Arm) -> Array:
    """The action that led here, (n, j)."""
    return state.action


@observation_term
def jacobian_transpose(state: State, arm: Arm) -> Array:
    """J_i . e / |J_i|^2, (n, j) rad: how far joint i alone would go to make the pose error least.

    e stacks the position error and L times the orientation error, J_i is joint i's column of the
    Jacobian with the same weights, and L is the key-point offset (m).
    """
    out = np.empty_like(state.joint_position, order="C")
    _jacobian_transpose.on(state, arm.hinge, arm.keypoint_offset**2, out)
    return out


@jacobian_transpose.onnx
def _(state: State, arm: Arm) -> Array:
    j, e = _weighted(state, arm)
    return (j * e[:, None]).sum(axis=2) / np.maximum((j * j).sum(axis=2), 1e-9)


def _weighted(
    state: State, arm: Arm, cross: Callable[[Array, Array], Array] = np.cross
) -> tuple[Array, Array]:
    """The Jacobian's columns (n, j, 6) and the pose error (n, 6), turns times the offset."""
    offset, axis = arm.keypoint_offset, state.joint_axis
    linear, angular = cross(axis, state.tool_position[:, None] - state.joint_anchor), axis
    if not arm.hinge.all():
        hinge = arm.hinge[None, :, None]
        linear, angular = np.where(hinge, linear, axis), np.where(hinge, axis, 0.0)
    j = np.concatenate((linear, offset * angular), axis=2)
    return j, np.concatenate((state.position_error, offset * state.rotation_error), axis=1)


@compiled("void(f8[:,:,:], f8[:,:,:], f8[:,:], f8[:,:], f8[:,:], b1[:], f8, f8[:,:])")
def _jacobian_transpose(
    joint_anchor: Array,
    joint_axis: Array,
    tool_position: Array,
    position_error: Array,
    rotation_error: Array,
    hinge: Bools,
    weight: float,
    out: Array,
) -> None:
    anchor, axis, tool = joint_anchor, joint_axis, tool_position
    for i in range(out.shape[0]):
        px, py, pz = position_error[i, 0], position_error[i, 1], position_error[i, 2]
        rx, ry, rz = rotation_error[i, 0], rotation_error[i, 1], rotation_error[i, 2]
        for k in range(out.shape[1]):
            ax, ay, az = axis[i, k, 0], axis[i, k, 1], axis[i, k, 2]
            if hinge[k]:
                dx = tool[i, 0] - anchor[i, k, 0]
                dy = tool[i, 1] - anchor[i, k, 1]
                dz = tool[i, 2] - anchor[i, k, 2]
                lx, ly, lz = ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx
                turn = weight
            else:
                lx, ly, lz = ax, ay, az
                turn = 0.0
            pull = lx * px + ly * py + lz * pz + turn * (ax * rx + ay * ry + az * rz)
            size = lx * lx + ly * ly + lz * lz + turn * (ax * ax + ay * ay + az * az)
            out[i, k] = pull / max(size, 1e-9)


@observation_term
def damped_least_squares(state: State, arm: Arm) -> Array:
    """J^T (J J^T + d^2 I)^-1 e, (n, j) rad: the damped least-squares step to the goal, d = 0.05 L.

    e and J are weighted as in jacobian_transpose (Nakamura and Hanafusa, 1986).
    """
    j, e = _weighted(state, arm, cross)
    normal = np.einsum("nja,njb->nab", j, j) + (0.05 * arm.keypoint_offset) ** 2 * np.eye(6)
    return np.einsum("nja,na->nj", j, np.linalg.solve(normal, e[:, :, None])[:, :, 0])


@damped_least_squares.onnx
def _(state: State, arm: Arm) -> Array:
    """The system is solved by Gauss and Jordan's elimination."""
    j, e = _weighted(state, arm)
    normal = j.transpose(0, 2, 1) @ j + (0.05 * arm.keypoint_offset) ** 2 * np.eye(6)
    system = np.concatenate((normal, e[:, :, None]), axis=2)
    for k in range(6):  # positive definite: no pivot is small
        row = system[:, k : k + 1]
        column = system[:, :, k : k + 1] - np.eye(6)[:, [k]]
        system = system - column @ (row / row[:, :, k : k + 1])
    return (j @ system[:, :, 6:]).reshape(0, -1)


@observation_term
def joint_error(state: State, arm: Arm) -> Array:
    """q* - q to the nearest joint angles at the goal by closed form, (n, j) rad; 0 without any."""
    return nearest_way(state.joint_position, state.goal_ways, arm)[1]


@joint_error.onnx
def _(state: State, arm: Arm) -> Array:
    """In a graph the ways come with 1 for those that count and 0 for the others."""
    ways, known = state.goal_ways
    whole = 2.0 * np.pi
    now = state.joint_position[:, None]
    way = ways - now
    way = way - whole * np.rint((1.0 / whole) * way)
    end = now + way
    over, under = (flags.astype(np.float64) for flags in (end > arm.high, end < arm.low))
    way = way - whole * (over - under)
    squares = (way * way).sum(axis=2) + _FAR * (1.0 - known)
    nearest = np.argmin(squares, axis=1, keepdims=True) == np.arange(8)[None]
    chosen = nearest.astype(np.float64) * np.maximum.reduce(known, axis=1, keepdims=True)
    return (way * chosen[:, :, None]).sum(axis=1)


_FAR = 1e9
"""Squared distance of a way that there is not (rad2)."""


class Observation:
    """The configured terms in one vector."""

    def __init__(self, config: ObservationConfig, arm: Arm, state: State) -> None:
        """Look up the terms, try them on a state, and find their places in the vector.

        Raises:
            ConfigError: a term does not give (n, k) finite numbers of n environments.
        """
        terms = {name: term for name, term in config.terms.items() if term is not None}
        known = entries("observation_term")
        bound = {name: (known[name], term.arguments) for name, term in terms.items()}
        self.terms = BoundTerms("observation.terms", bound, state, arm, columns=True)
        raw = [k for (k,) in self.terms.tails.values()]
        scales = [np.asarray(term.scales or [1.0]) for term in terms.values()]
        widths = [k * len(w) for k, w in zip(raw, scales, strict=True)]
        self.slices = dict(zip(terms, _side_by_side(widths), strict=True))
        self.size = sum(widths)
        self.noise = np.repeat([term.noise for term in terms.values()], raw)
        self.noisy = bool(self.noise.any())
        self._places = [*zip(scales, self.slices.values(), _side_by_side(raw), strict=True)]
        self._scaled = [self.slices[name] for name, term in terms.items() if term.scales]

    def __call__(self, state: State, noise: Array | None = None) -> np.ndarray:
        """Observe.

        Args:
            state: n environments.
            noise: (n, len(self.noise)) sensor noise, added before scaling; None for none.

        Returns:
            (n, size) float32.

        Raises:
            TermError: a term does not give what it gave at first.
        """
        out = np.empty((len(state.distance), self.size), np.float32)
        for value, (scales, columns, at) in zip(self.terms(state), self._places, strict=True):
            _place(value if noise is None else value + noise[:, at], scales, out[:, columns])
        for columns in self._scaled:
            np.tanh(out[:, columns], out=out[:, columns])
        return out

    def rows(self, state: State, rows: Ints, noise: Array | None) -> np.ndarray:
        """As a call, of some environments (k,) alone; their noise is (k, len(self.noise))."""
        if not self.terms.remembering:
            return self(state.rows(rows), noise)
        # terms that remember know all environments and no others
        whole = np.zeros((len(state.distance), len(self.noise)))
        whole[rows] = 0.0 if noise is None else noise
        return self(state, None if noise is None else whole)[rows]


def _side_by_side(widths: list[int]) -> list[slice]:
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


@compiled("void(f8[:,:], f8[:], f4[:,:])")
def _place(value: Array, scales: Array, out: np.ndarray) -> None:
    """value / w for each width w side by side, (n, k) into (n, widths k)."""
    n, k = value.shape
    for i in range(n):
        for w in range(len(scales)):
            for column in range(k):
                out[i, w * k + column] = value[i, column] / scales[w]
