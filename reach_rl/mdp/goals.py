"""Goals that can be reached: tool poses of sampled joint configurations.

A goal is the tool pose at joint angles drawn uniformly from the region's joint range. It is kept
if the arm is there clear of itself and of the table, and the tool inside the region; nothing is
filtered later. The forward kinematics is the caller's, so that this module stays plain arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RegionConfig
from reach_rl.mdp.arrays import Array, Bools, Ints

FULL_TURN = np.pi
"""A joint without limits is sampled within home +- this (rad)."""

LEAST_SHARE = 1e-3
"""A region of which less than this share of samples is kept is an error."""


@dataclass(frozen=True, slots=True)
class Poses:
    """Tool poses of joint configurations, k rows."""

    position: Array
    """(k, 3) m in the base frame."""
    quaternion: Array
    """(k, 4) w, x, y, z."""
    matrix: Array
    """(k, 3, 3)."""
    free: Bools
    """(k,) clear of self and table."""


Kinematics = Callable[[Array], Poses]
"""Joint angles (k, j) to tool poses."""


@dataclass(frozen=True, slots=True)
class Goals:
    """A pool of goals, nearest to the home configuration first."""

    position: Array
    """(m, 3) m in the base frame."""
    quaternion: Array
    """(m, 4) w, x, y, z."""
    matrix: Array
    """(m, 3, 3)."""
    joints: Array
    """(m, j) a joint configuration that reaches the goal (rad)."""
    spread: Array
    """(m,) its largest joint offset from home as a fraction of the range, ascending."""
    kept: float
    """Share of the samples that were kept."""
    others: Array | None = field(default=None)
    """(m, w, j) more configurations that reach the goal, NaN where there are fewer (rad)."""

    @property
    def ways(self) -> Array:
        """(m, w, j) all known joint configurations that reach the goal (rad)."""
        own = self.joints[:, None]
        return own if self.others is None else np.concatenate((own, self.others), axis=1)

    def __len__(self) -> int:
        """How many goals there are."""
        return len(self.position)

    def within(self, share: float) -> int:
        """How many of the first goals lie within this fraction of the joint range; at least one."""
        return max(1, int(np.searchsorted(self.spread, share, side="right")))


def joint_range(region: RegionConfig, home: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds of the sampled joint angles, (j,) each (rad)."""
    width = np.broadcast_to(np.asarray(region.joint_range or [np.inf]), home.shape)
    return (
        np.maximum(home - width, np.where(np.isfinite(low), low, home - FULL_TURN)),
        np.minimum(home + width, np.where(np.isfinite(high), high, home + FULL_TURN)),
    )


def inside(region: RegionConfig, poses: Poses, base: Array, reach: float) -> Bools:
    """Which tool poses lie in the region, (k,).

    Args:
        region: the region.
        poses: k tool poses.
        base: (3,) origin of the base frame in the world (m).
        reach: reach of the arm (m).
    """
    p = poses.position - base
    ok = np.ones(len(p), bool)
    for axis in range(3):
        low = region.box_low[axis] if region.box_low else None
        high = region.box_high[axis] if region.box_high else None
        ok &= p[:, axis] > (-np.inf if low is None else low)
        ok &= p[:, axis] < (np.inf if high is None else high)
    if region.radius is not None:
        radius = np.linalg.norm(p, axis=1) / reach
        ok &= (radius >= region.radius[0]) & (radius <= region.radius[1])
    if region.pan_distance > 0.0:
        ok &= np.hypot(p[:, 0], p[:, 1]) > region.pan_distance * reach
    if region.cone_axis is not None and region.cone_angle is not None:
        axis = np.asarray(region.cone_axis) / np.linalg.norm(region.cone_axis)
        ok &= poses.matrix[:, :, 2] @ axis > np.cos(region.cone_angle)
    return ok


def sample(
    region: RegionConfig,
    count: int,
    rng: np.random.Generator,
    kinematics: Kinematics,
    bounds: tuple[Array, Array],
    home: Array,
    base: Array,
    reach: float,
    told: Callable[[int, int], None] = lambda kept, tried: None,
) -> Goals:
    """Draw goals until there are enough.

    Args:
        region: where goals may be.
        count: goals wanted.
        rng: source of the joint angles.
        kinematics: forward kinematics of the arm.
        bounds: least and greatest joint angles, (j,) each (rad).
        home: (j,) home joint angles (rad).
        base: (3,) origin of the base frame in the world (m).
        reach: reach of the arm (m).
        told: how many samples are kept so far, of how many.

    Raises:
        ConfigError: fewer than one sample in a thousand is kept.
    """
    low, high = bounds
    found: list[tuple[Array, Poses, Ints]] = []
    kept = tried = 0
    while kept < count:
        joints = rng.uniform(low, high, (max(1024, count), len(low)))
        poses = kinematics(joints)
        rows = np.flatnonzero(poses.free & inside(region, poses, base, reach))
        found.append((joints, poses, rows))
        kept += len(rows)
        tried += len(joints)
        told(kept, tried)
        if tried >= 20_000 and kept < LEAST_SHARE * tried:
            raise ConfigError(
                [
                    f"task.region={region.name}: only {kept} of {tried} sampled arm "
                    f"configurations are inside and free of contact, which is too few; "
                    f"widen task.region.joint_range, box, radius, pan_distance or cone"
                ]
            )

    def stacked(pick: Callable[[Array, Poses], Array]) -> Array:
        return np.concatenate([pick(q, p)[rows] for q, p, rows in found])[:count]

    joints = stacked(lambda q, p: q)
    width = np.maximum(np.maximum(high - home, home - low), 1e-9)
    spread = np.max(np.abs(joints - home) / width, axis=1)
    order = np.argsort(spread, kind="stable")
    return Goals(
        position=stacked(lambda q, p: p.position)[order],
        quaternion=stacked(lambda q, p: p.quaternion)[order],
        matrix=stacked(lambda q, p: p.matrix)[order],
        joints=joints[order],
        spread=spread[order],
        kept=kept / tried,
    )
