"""The published numbers of the Universal Robots family, typed: assets/ur_family.yaml."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reach_rl.config.paths import assets_dir

NAMES = ("ur3e", "ur5e", "ur7e", "ur10e", "ur12e", "ur15", "ur16e", "ur20", "ur30")
"""Arms that have a model, smallest first within a series."""

HOME = (0.0, -math.pi / 2, math.pi / 2, -math.pi / 2, -math.pi / 2, 0.0)
"""Home joint angles of every arm: elbow up, tool down, in front of the base (rad)."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A revolute joint about the z axis of its child link."""

    name: str
    child: str
    position: tuple[float, ...]
    """(3,) origin of the child frame in the parent's (m)."""
    rpy: tuple[float, ...]
    """(3,) orientation of the child frame, fixed axes x, y, z (rad)."""
    limit: float
    """The joint moves within plus and minus this angle; inf: without limit (rad)."""
    velocity: float
    """rad/s."""
    torque: float
    """N m."""
    kp: float
    """Servo stiffness (N m/rad)."""
    kv: float
    """Servo damping (N m s/rad)."""
    armature: float
    """Inertia of the rotor as seen at the joint (kg m^2)."""


@dataclass(frozen=True, slots=True)
class Link:
    """A rigid body."""

    name: str
    mass: float
    """kg."""
    com: tuple[float, ...]
    """(3,) centre of mass in the link frame (m)."""
    inertia: tuple[float, ...]
    """(6,) xx, yy, zz, xy, xz, yz about the centre of mass in link axes (kg m^2)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A primitive of a link: `ends` for cylinders and capsules, `position` for ellipsoids."""

    link: str
    kind: str
    size: tuple[float, ...]
    """Radius, or the three semi-axes (m)."""
    ends: tuple[float, ...] | None
    """(6,) both ends of the axis in the link frame (m)."""
    position: tuple[float, ...] | None
    """(3,) centre in the link frame (m)."""
    color: str | None


@dataclass(frozen=True, slots=True)
class DenavitHartenberg:
    """Standard parameters, T_i = Rz(q_i) Tz(d_i) Tx(a_i) Rx(alpha_i); (6,) each, m and rad."""

    a: tuple[float, ...]
    d: tuple[float, ...]
    alpha: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PublishedArm:
    """One robot."""

    name: str
    hardware: str
    """The robot whose hardware this one shares (itself, mostly)."""
    reach: float
    """Radius of the workspace about the base, from the data sheet (m)."""
    payload: float
    """Heaviest load at the tool, from the data sheet (kg)."""
    joints: tuple[Joint, ...]
    links: tuple[Link, ...]
    visual: tuple[Shape, ...]
    collision: tuple[Shape, ...]
    dh: DenavitHartenberg


@dataclass(frozen=True, slots=True)
class Family:
    """All robots, with the colours they share."""

    arms: Mapping[str, PublishedArm]
    colors: Mapping[str, tuple[float, ...]]
    """RGBA by name."""
    specular: float
    shininess: float


def read_family(path: Path) -> Family:
    """Read the numbers of the robots in NAMES; `same_as` is resolved."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    tree = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    colors = dict(tree["colours"])
    material = colors.pop("material")
    return Family(
        arms={name: _arm(name, tree["robots"]) for name in NAMES},
        colors={name: tuple(rgba) for name, rgba in colors.items()},
        specular=float(material["specular"]),
        shininess=float(material["shininess"]),
    )


def own_arm(name: str) -> PublishedArm | None:
    """One of the project's arms; None for any other name."""
    if name not in NAMES:
        return None
    return read_family(assets_dir() / "ur_family.yaml").arms[name]


def rated_payload(name: str) -> float | None:
    """Heaviest load at the tool of one of the project's arms (kg); None of any other."""
    arm = own_arm(name)
    return arm.payload if arm else None


def _arm(name: str, robots: Mapping[str, Any]) -> PublishedArm:
    own = robots[name]
    hardware = own.get("same_as", name)
    numbers = robots[hardware] | own
    return PublishedArm(
        name=name,
        hardware=hardware,
        reach=float(numbers["spec"]["reach_m"]),
        payload=float(numbers["spec"]["payload_kg"]),
        joints=tuple(_joint(numbers, i) for i in range(len(numbers["urdf_joints"]))),
        links=tuple(_link(link, numbers) for link in numbers["links"]),
        visual=tuple(_shape(shape) for shape in numbers["visual_primitives"]),
        collision=tuple(_shape(shape) for shape in numbers["collision_primitives"]),
        dh=DenavitHartenberg(**{k: tuple(map(float, v)) for k, v in numbers["dh"].items()}),
    )


def _joint(numbers: Mapping[str, Any], i: int) -> Joint:
    joint, limits, servo = numbers["urdf_joints"][i], numbers["joint_limits"], numbers["actuator"]
    return Joint(
        name=joint["joint"],
        child=joint["child"],
        position=tuple(0.0 if abs(x) < 1e-9 else float(x) for x in joint["xyz"]),
        rpy=tuple(_quarter_turns(angle) * math.pi / 2 for angle in joint["rpy"]),
        limit=math.radians(limits["position_deg"][i]),
        velocity=math.radians(limits["velocity_deg_s"][i]),
        torque=float(limits["effort_nm"][i]),
        kp=float(servo["kp"][i]),
        kv=float(servo["kv"][i]),
        armature=float(servo["armature"][i]),
    )


def _quarter_turns(angle: float) -> int:
    """The published angles are quarter turns, written with a calibration's rounding."""
    turns = round(angle / (math.pi / 2))
    if abs(angle - turns * math.pi / 2) > 1e-6:
        raise ValueError(f"joint frame angle {angle} is not a multiple of pi/2")
    return turns


def _link(link: Mapping[str, Any], numbers: Mapping[str, Any]) -> Link:
    """A link, with the tensor derived from a sister arm where the published one is suspect."""
    derived = numbers.get("fullinertia_derived", {})
    inertia: Sequence[float] = derived.get(link["link"], link["fullinertia"])
    return Link(
        name=link["link"],
        mass=float(link["mass"]),
        com=tuple(float(x) for x in link["com"]),
        inertia=tuple(float(x) for x in inertia),
    )


def _shape(shape: Mapping[str, Any]) -> Shape:
    size = shape["size"] if "size" in shape else [shape["radius"]]
    short = shape["link"]
    return Shape(
        link="base_link_inertia" if short == "base" else f"{short}_link",
        kind=shape.get("shape") or shape["type"],
        size=tuple(float(x) for x in size),
        ends=tuple(float(x) for x in shape["fromto"]) if "fromto" in shape else None,
        position=tuple(float(x) for x in shape["pos"]) if "pos" in shape else None,
        color=shape.get("color"),
    )
