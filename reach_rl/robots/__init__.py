"""Robots: published numbers to MJCF, and any MJCF to a scene for training or for looking at."""

from reach_rl.robots.display import display_spec
from reach_rl.robots.model import RobotModel, load_robot

__all__ = ["RobotModel", "display_spec", "load_robot"]
