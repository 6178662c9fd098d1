"""Goals that can be reached: tool poses of sampled joint configurations.

A goal is the tool pose at joint angles drawn uniformly from the region's joint range. It is kept
if the arm is there clear of itself and of the table, and the tool inside the region; nothing is
filtered later. The forward kinematics is the caller's, so that this module stays plain arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import RegionConfig
from reach_rl.mdp.arrays import Array, Bools

FULL_TURN = np.pi
"""A joint without limits is sampled within home +- this (rad)."""

LEAST_SHARE = 1e-3
"""A region of which less than this share of samples is kept is an error."""


@dataclass(frozen=True, slots=True)
class Poses:
    """Tool poses of joint configurations, k rows."""

    position: Array
    """(k, 3) m in the world."""
    quaternion: Array
    """(k, 4) w, x, y, z."""
    matrix: Array
    """(k, 3, 3)."""
    self_contact: Bools
    """(k,) the arm touches itself."""
    too_near: Bools
    """(k,) it is nearer to the world than the clearance."""

    @property
    def free(self) -> Bools:
        """(k,) clear of self and world."""
        return ~(self.self_contact | self.too_near)


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
    others: Array | None = None
    """(m, w, j) more configurations that reach the goal, NaN where there are fewer (rad)."""

    @property
    def ways(self) -> Array:
        """(m, w, j) all known joint configurations that reach the goal (rad)."""
        own = self.joints[:, None]
        return own if self.others is None else np.concatenate((own, self.others), axis=1)

    def __len__(self) -> int:
        """How many goals there are."""
        return len(self.position)

    @classmethod
    def of(cls, joints: Array, poses: Poses, spread: Array, kept: float = 1.0) -> "Goals":
        """Tool poses that joint angles (m, j) reach, in the order of their offset from home.

        Args:
            joints: the joint angles (rad).
            poses: of the tool there.
            spread: (m,) how far they are from home, as a fraction of what there is.
            kept: share of the samples that were kept.
        """
        order = np.argsort(spread, kind="stable")
        found = (poses.position, poses.quaternion, poses.matrix, joints, spread)
        return cls(*(array[order] for array in found), kept=kept)

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


@dataclass(frozen=True, slots=True)
class Base:
    """Where the arm stands; regions are told in this frame."""

    position: Array
    """(3,) its origin in the world (m)."""
    matrix: Array
    """(3, 3) its axes as columns in the world."""
    reach: float
    """Reach of the arm (m)."""


def rejected(region: RegionConfig, poses: Poses, base: Base) -> dict[str, Bools]:
    """Which poses (k,) each condition of the region rejects, by the key that holds it.

    Args:
        region: the region.
        poses: k tool poses.
        base: where the arm stands.
    """
    p = (poses.position - base.position) @ base.matrix
    out = {"joint_range": poses.self_contact, "clearance": poses.too_near}
    for key, corner, sign in (
        ("box_low", region.box_low, 1.0),
        ("box_high", region.box_high, -1.0),
    ):
        if corner is not None:
            bound = np.array([-np.inf if x is None else sign * x for x in corner])
            out[key] = np.asarray(~(sign * p > bound).all(axis=1))
    if region.radius is not None:
        radius = np.linalg.norm(p, axis=1) / base.reach
        out["radius"] = (radius < region.radius[0]) | (radius > region.radius[1])
    if region.pan_distance > 0.0:
        out["pan_distance"] = np.hypot(p[:, 0], p[:, 1]) <= region.pan_distance * base.reach
    if region.cone_axis is not None and region.cone_angle is not None:
        axis = base.matrix @ (np.asarray(region.cone_axis) / np.linalg.norm(region.cone_axis))
        out["cone_angle"] = poses.matrix[:, :, 2] @ axis <= np.cos(region.cone_angle)
    return out


def _too_few(region: RegionConfig, kept: int, tried: int, gone: dict[str, int]) -> ConfigError:
    """Which condition rejected what share, and what to set."""
    because = {
        "joint_range": " (the arm touches itself)",
        "clearance": " (it is nearer to what it stands by)",
    }
    most = sorted((key for key in gone if gone[key]), key=lambda key: -gone[key])
    shares = [f"{gone[key] / tried:.0%} by task.region.{key}{because.get(key, '')}" for key in most]
    lower = most[0] in ("clearance", "pan_distance", "box_low", "joint_range")
    value = getattr(region, most[0])
    what = f"{'less' if lower else 'more'} than {value}" if value is not None else "a number"
    return ConfigError(
        f"task.region={region.name}: only {kept} of {tried} sampled arm configurations fit, which "
        f"is too few; rejected are {', '.join(shares)}; set task.region.{most[0]} to {what}"
    )


def sample(
    region: RegionConfig,
    count: int,
    rng: np.random.Generator,
    kinematics: Kinematics,
    bounds: tuple[Array, Array],
    home: Array,
    base: Base,
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
        base: where the arm stands.
        told: how many samples are kept so far, of how many.

    Raises:
        ConfigError: fewer than one sample in a thousand is kept.
    """
    low, high = bounds
    found: list[tuple[Array, ...]] = []
    kept = tried = 0
    gone: dict[str, int] = {}
    while kept < count:
        joints = rng.uniform(low, high, (max(1024, count), len(low)))
        poses = kinematics(joints)
        flags = rejected(region, poses, base)
        rows = np.flatnonzero(~np.logical_or.reduce(list(flags.values())))
        gone = {key: gone.get(key, 0) + int(rows_.sum()) for key, rows_ in flags.items()}
        made = joints, poses.position, poses.quaternion, poses.matrix
        found.append(tuple(array[rows] for array in made))
        kept += len(rows)
        tried += len(joints)
        told(kept, tried)
        if tried >= 20_000 and kept < LEAST_SHARE * tried:
            raise _too_few(region, kept, tried, gone)

    parts = (np.concatenate(arrays)[:count] for arrays in zip(*found, strict=True))
    joints, *pose = parts
    width = np.maximum(np.maximum(high - home, home - low), 1e-9)
    spread = np.max(np.abs(joints - home) / width, axis=1)
    clear = np.zeros((2, len(joints)), bool)
    return Goals.of(joints, Poses(*pose, *clear), spread, kept / tried)
