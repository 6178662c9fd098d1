"""Names for the arrays of the task, what NumPy does slowly for small ones, and rotations.

Quaternions are (w, x, y, z); q and -q are one rotation.
"""

import math

import numpy as np
from numpy.typing import NDArray

from reach_rl.mdp.compiled import compiled

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def total(values: Array) -> Array:
    """Sum over the last axis; the ways into np.sum and np.einsum are longer than this work."""
    return np.add.reduce(values, axis=-1)


def where(flags: Bools) -> Ints:
    """Indices of the rows (n,) that are set, in half the time of np.flatnonzero."""
    return flags.nonzero()[0]


def clipped(values: Array, low: Array | float, high: Array | float) -> Array:
    """np.clip of a few thousand numbers, in half the time."""
    return np.minimum(np.maximum(values, low), high)


def canonical(quat: Array) -> Array:
    """The same rotations with w >= 0, (..., 4)."""
    return np.where(quat[..., :1] < 0.0, -quat, quat)


def rotation_error(tool: Array, goal: Array) -> Array:
    """The rotation that takes the tool's frame to the goal's, as axis times angle.

    Args:
        tool: unit quaternions (n, 4) of the tool in the base frame.
        goal: unit quaternions (n, 4) of the goal in the base frame.

    Returns:
        (n, 3) rotation vectors in the base frame, of length 0 to pi (rad). Exactly pi apart, one
        of the two equal choices of axis is taken.
    """
    out = np.empty((len(tool), 3))
    tool, goal = (np.require(q, np.float64, "W") for q in (tool, goal))
    measure_rotation(tool, goal, out, np.empty(len(tool)), np.arange(len(tool)))
    return out


@compiled("void(f8[:,:], f8[:,:], f8[:,:], f8[:], i8[:])")
def measure_rotation(
    tool_quaternion: Array, goal_quaternion: Array, rotation_error: Array, angle: Array, rows: Ints
) -> None:
    """As rotation_error(), of some rows (k,), into an array (n, 3); its length into `angle`."""
    tool, goal, out = tool_quaternion, goal_quaternion, rotation_error
    for i in rows:
        t0, t1, t2, t3 = tool[i, 0], tool[i, 1], tool[i, 2], tool[i, 3]
        g0, g1, g2, g3 = goal[i, 0], goal[i, 1], goal[i, 2], goal[i, 3]
        # goal times the conjugate of tool, then of q and -q the one with w >= 0
        x = t0 * g1 - g0 * t1 - (g2 * t3 - g3 * t2)
        y = t0 * g2 - g0 * t2 - (g3 * t1 - g1 * t3)
        z = t0 * g3 - g0 * t3 - (g1 * t2 - g2 * t1)
        cosine = g0 * t0 + g1 * t1 + g2 * t2 + g3 * t3
        sine = math.sqrt(x * x + y * y + z * z)
        # angle / sin(angle / 2) tends to 2 at no rotation
        factor = 2.0 * math.atan2(sine, abs(cosine)) / sine if sine > 1e-9 else 2.0
        factor = math.copysign(factor, cosine)
        out[i, 0], out[i, 1], out[i, 2] = factor * x, factor * y, factor * z
        angle[i] = abs(factor) * sine


def cross(a: Array, b: Array) -> Array:
    """Cross products of the last axis, (..., 3); several times faster than np.cross."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), order="F")
    out[..., 0] = ay * bz - az * by
    out[..., 1] = az * bx - ax * bz
    out[..., 2] = ax * by - ay * bx
    return out


def norm(vectors: Array) -> Array:
    """Euclidean lengths over the last axis, (...)."""
    return np.sqrt(total(vectors * vectors))


def columns(ids: Ints) -> Ints | slice:
    """The same columns as a slice where they lie side by side: a view, not a copy."""
    first = int(ids[0])
    together = np.array_equal(ids, first + np.arange(len(ids)))
    return slice(first, first + len(ids)) if together else ids
