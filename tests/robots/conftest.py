"""Robot configurations for the tests of this room."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reach_rl.config.schema import RobotConfig

UR_JOINTS = [
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
]
ASSETS = Path(__file__).parent.parent / "assets"
SHORT = ["pan", "lift", "elbow", "wrist1", "wrist2", "wrist3"]

PRESETS: dict[str, dict[str, Any]] = {
    "arm7": {
        "mjcf": str(ASSETS / "arm7.xml"),
        "joints": [f"j{i}" for i in range(1, 8)],
        "actuators": [f"a{i}" for i in range(1, 8)],
        "tcp_site": "tip",
    },
    "public_style_ur5e": {
        "mjcf": str(ASSETS / "public_style_ur5e.xml"),
        "joints": SHORT,
        "actuators": [f"{name}_servo" for name in SHORT],
        "tcp_site": "attachment",
    },
}


def make_config(name: str = "ur5e", **changes: Any) -> RobotConfig:
    """The configuration of an arm, as conf/robot holds it, with changes."""
    values: dict[str, Any] = {
        "name": name,
        "mjcf": None,
        "joints": UR_JOINTS,
        "actuators": [joint.removesuffix("_joint") for joint in UR_JOINTS],
        "tcp_site": "tcp",
        "keyframe": None,
        "home": None,
        "velocity_limits": None,
        "reach": None,
        "servo_lag": None,
    }
    return RobotConfig(**(values | PRESETS.get(name, {}) | changes))


@pytest.fixture
def robot_config() -> Callable[..., RobotConfig]:
    """Factory of robot configurations."""
    return make_config
