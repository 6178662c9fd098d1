"""A policy on a robot: the bundle and the controller that runs it; no simulator, no learner."""

from reach_rl.deploy.bundle import Bundle, BundleError, Contract
from reach_rl.deploy.controller import Controller, Goal, JointState, Report, Robot, Settings, Stop

__all__ = [
    "Bundle", "BundleError", "Contract", "Controller", "Goal", "JointState", "Report", "Robot",
    "Settings", "Stop",
]  # fmt: skip
