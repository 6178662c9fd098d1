"""Rotations of many frames at once. Quaternions are (w, x, y, z); q and -q are one rotation."""

import numpy as np

from reach_rl.mdp.arrays import Array


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
    w0, v0 = goal[:, :1], goal[:, 1:]
    w1, v1 = tool[:, :1], -tool[:, 1:]
    error = canonical(
        np.concatenate(
            (
                w0 * w1 - np.sum(v0 * v1, axis=1, keepdims=True),
                w0 * v1 + w1 * v0 + cross(v0, v1),
            ),
            axis=1,
        )
    )
    vector = error[:, 1:]
    sine = norm(vector)[:, None]
    angle = 2.0 * np.arctan2(sine, error[:, :1])
    # angle / sin(angle / 2) tends to 2 at no rotation
    return vector * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)


def cross(a: Array, b: Array) -> Array:
    """Cross products of the last axis, (..., 3); several times faster than np.cross."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1)


def norm(vectors: Array) -> Array:
    """Euclidean lengths over the last axis, (...)."""
    return np.sqrt(np.sum(vectors * vectors, axis=-1))
