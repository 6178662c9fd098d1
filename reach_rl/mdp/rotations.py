"""Rotations of many frames at once. Quaternions are (w, x, y, z); q and -q are one rotation."""

import math

import numpy as np

from reach_rl.mdp.arrays import Array, Ints, dot
from reach_rl.mdp.compiled import compiled


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
    measure_rotation(np.arange(len(tool)), tool, goal, out, np.empty(len(tool)))
    return out


@compiled("void(i8[:], f8[:,:], f8[:,:], f8[:,:], f8[:])")
def measure_rotation(rows: Ints, tool: Array, goal: Array, out: Array, angle: Array) -> None:
    """As rotation_error, of some rows (k,), into `out` (n, 3); its length into `angle` (n,)."""
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
    return np.sqrt(dot(vectors, vectors))
