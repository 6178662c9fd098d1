"""The published numbers of the Universal Robots family: assets/ur_family.yaml."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reach_rl.config import assets_dir, read_yaml, ur_arms

NAMES = tuple(ur_arms())
"""Arms that have a model."""

HOME = (0.0, -math.pi / 2, math.pi / 2, -math.pi / 2, -math.pi / 2, 0.0)
"""Home joint angles of every arm: elbow up, tool down, in front of the base (rad)."""

Numbers = Mapping[str, Any]
"""A part of the file, whose comments say what is what, and in which unit."""


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
    dh: DenavitHartenberg
    numbers: Numbers
    """All that the file says of its hardware."""


def read_family(path: Path) -> tuple[dict[str, PublishedArm], Numbers]:
    """The robots in NAMES, of which `same_as` is resolved, and the colours that they share."""
    tree = read_yaml(path)
    return {name: _arm(name, tree["robots"]) for name in NAMES}, tree["colours"]


def own_arm(name: str) -> PublishedArm | None:
    """One of the project's arms; None for any other name."""
    if name not in NAMES:
        return None
    return read_family(assets_dir() / "ur_family.yaml")[0][name]


def _arm(name: str, robots: Numbers) -> PublishedArm:
    hardware = robots[name].get("same_as", name)
    numbers = robots[hardware] | robots[name]
    return PublishedArm(
        name=name,
        hardware=hardware,
        reach=float(numbers["spec"]["reach_m"]),
        dh=DenavitHartenberg(**{k: tuple(map(float, v)) for k, v in numbers["dh"].items()}),
        numbers=numbers,
    )
