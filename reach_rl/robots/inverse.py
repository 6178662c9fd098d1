"""Closed-form inverse kinematics of a UR arm: all joint configurations that reach a pose.

Joints two to four turn about parallel axes, and the last three axes nearly meet; that leaves two
choices each for shoulder, wrist and elbow (Hawkins, "Analytic inverse kinematics for the Universal
Robots UR-5/UR-10 arms", 2013).
"""

import numpy as np

from reach_rl.robots.family import DenavitHartenberg

Array = np.ndarray

WAYS = 8
"""Most configurations that reach one pose."""

CHOICES = tuple(
    np.array([1.0 if way >> bit & 1 else -1.0 for way in range(WAYS)]) for bit in range(3)
)
"""Signs (8,) of shoulder, wrist and elbow in each way."""

_NEAR = 1e-6


def forward(dh: DenavitHartenberg, joints: Array) -> Array:
    """Poses (..., 4, 4) of the flange in DH frame 0 for joint angles (..., 6)."""
    return frames(dh, joints)[..., 6, :, :]


def frames(dh: DenavitHartenberg, joints: Array) -> Array:
    """Poses (..., 7, 4, 4) of DH frames 0 to 6 in frame 0 for joint angles (..., 6)."""
    poses = [np.broadcast_to(np.eye(4), (*joints.shape[:-1], 4, 4))]
    for i in range(6):
        poses.append(poses[-1] @ link(dh, i, joints[..., i]))
    return np.stack(poses, axis=-3)


def solutions(dh: DenavitHartenberg, pose: Array) -> Array:
    """Joint angles that reach poses.

    Args:
        dh: the arm.
        pose: (k, 4, 4) of the flange in DH frame 0.

    Returns:
        (k, 8, 6) joint angles within -pi and pi (rad); NaN where there is no such way.
    """
    k = len(pose)
    d4, d6, a2, a3 = dh.d[3], dh.d[5], dh.a[1], dh.a[2]
    pose = pose[:, None]  # (k, 1, 4, 4), ways alongside
    shoulder, wrist, elbow = (signs[None] for signs in CHOICES)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = pose[..., :3, 3] - d6 * pose[..., :3, 2]
        x, y = centre[..., 0], centre[..., 1]
        q1 = np.arctan2(y, x) + shoulder * np.arccos(d4 / np.hypot(x, y)) + np.pi / 2
        s1, c1 = np.sin(q1), np.cos(q1)
        q5 = wrist * _arccos((pose[..., 0, 3] * s1 - pose[..., 1, 3] * c1 - d4) / d6)
        sign = np.sign(np.sin(q5))
        q6 = np.arctan2(
            sign * (-pose[..., 0, 1] * s1 + pose[..., 1, 1] * c1),
            sign * (pose[..., 0, 0] * s1 - pose[..., 1, 0] * c1),
        )
        tail = link(dh, 4, q5) @ link(dh, 5, q6)
        middle = _inverse(link(dh, 0, q1)) @ pose @ _inverse(tail)  # from joint 2 to joint 4
        arm = middle[..., :3, 3] - d4 * middle[..., :3, 1]
        far = np.hypot(arm[..., 0], arm[..., 1])
        q3 = elbow * _arccos((far**2 - a2**2 - a3**2) / (2.0 * a2 * a3))
        q2 = np.arctan2(-arm[..., 1], -arm[..., 0]) - np.arcsin(
            np.clip(-a3 * np.sin(q3) / far, -1.0, 1.0)
        )
        last = _inverse(link(dh, 1, q2) @ link(dh, 2, q3)) @ middle
        q4 = np.arctan2(last[..., 1, 0], last[..., 0, 0])
        found = np.stack(np.broadcast_arrays(q1, q2, q3, q4, q5, q6), axis=-1)
        found = (found + np.pi) % (2.0 * np.pi) - np.pi
        off = np.abs(forward(dh, found) - pose).max(axis=(2, 3))
    found[~(off < _NEAR)] = np.nan
    return found.reshape(k, WAYS, 6)


def link(dh: DenavitHartenberg, i: int, q: Array) -> Array:
    """Transforms (..., 4, 4) of one joint at angles (...)."""
    c, s = np.cos(q), np.sin(q)
    ca, sa = np.cos(dh.alpha[i]), np.sin(dh.alpha[i])
    out = np.zeros((*np.shape(q), 4, 4))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = c, -s * ca, s * sa
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = s, c * ca, -c * sa
    out[..., 2, 1], out[..., 2, 2], out[..., 2, 3] = sa, ca, dh.d[i]
    out[..., 0, 3], out[..., 1, 3] = dh.a[i] * c, dh.a[i] * s
    out[..., 3, 3] = 1.0
    return out


def _inverse(pose: Array) -> Array:
    """Inverses of rigid transforms (..., 4, 4)."""
    out = np.zeros_like(pose)
    turned = np.swapaxes(pose[..., :3, :3], -1, -2)
    out[..., :3, :3] = turned
    out[..., :3, 3] = -(turned @ pose[..., :3, 3, None])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def _arccos(value: Array) -> Array:
    """Of values that rounding may have put a little outside -1 and 1; NaN beyond."""
    return np.arccos(np.where(np.abs(value) < 1.0 + 1e-9, np.clip(value, -1.0, 1.0), np.nan))
