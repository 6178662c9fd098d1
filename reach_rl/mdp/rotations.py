"""Rotations of many frames at once. Quaternions are (w, x, y, z); q and -q are one rotation."""

import numpy as np

from reach_rl.mdp.arrays import Array, dot


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
    g, t = np.ascontiguousarray(goal.T), np.ascontiguousarray(tool.T)  # a component a row: fast
    # goal times the conjugate of tool, then of q and -q the one with w >= 0
    vector = t[0] * g[1:] - g[0] * t[1:]
    vector[0] -= g[2] * t[3] - g[3] * t[2]
    vector[1] -= g[3] * t[1] - g[1] * t[3]
    vector[2] -= g[1] * t[2] - g[2] * t[1]
    cosine = np.add.reduce(g * t, axis=0)
    sine = np.sqrt(np.add.reduce(vector * vector, axis=0))
    angle = 2.0 * np.arctan2(sine, np.abs(cosine))
    # angle / sin(angle / 2) tends to 2 at no rotation
    factor = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)
    return (vector * np.copysign(factor, cosine)).T


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
