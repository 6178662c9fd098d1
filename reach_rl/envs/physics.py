"""Between the compiled arm and the task: constants, and what differs between simulations."""

import ctypes
from collections.abc import Sequence
from contextlib import suppress

import mujoco
import numpy as np
from mujoco import _batch
from mujoco.batch import Batch

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import TaskConfig
from reach_rl.mdp.arrays import Array, Ints
from reach_rl.mdp.state import Arm
from reach_rl.mdp.streams import Streams
from reach_rl.robots import RobotModel
from reach_rl.rundir.provenance import cores

NONE, VEL = int(mujoco.mjtStage.mjSTAGE_NONE), int(mujoco.mjtStage.mjSTAGE_VEL)
"""How much of MuJoCo's pipeline a call leaves up to date: nothing, or positions and speeds."""


def threads_of(configured: int) -> int:
    """Threads to use; 0 means one per core."""
    return configured or cores()


def stop_clock() -> None:
    """Take the clock from MuJoCo, which it reads around each part of a step for its own timers.

    Nobody reads those; a step costs an eighth less without, and its numbers are the same. Python's
    mujoco.set_mjcb_time cannot take away what its own library has put there.
    """
    with suppress(OSError, ValueError):  # a library that does not show its clock keeps it
        ctypes.c_void_p.in_dll(ctypes.CDLL(_batch.__file__), "mjcb_time").value = None


def arm_of(robot: RobotModel, task: TaskConfig) -> Arm:
    """What the task knows of the robot."""
    kinds = robot.model.jnt_type[robot.model.dof_jntid[robot.dof_adr]]
    return Arm(
        home=robot.home,
        low=robot.low,
        high=robot.high,
        velocity_limits=robot.velocity_limits,
        servo_lag=robot.servo_lag,
        acceleration_limits=robot.torque_limits
        / (robot.inertia + robot.servo_damping * task.physics_step),
        hinge=kinds == mujoco.mjtJoint.mjJNT_HINGE,
        height_moves=robot.height_moves,
        keypoint_offset=task.keypoint_offset,
        control_period=task.control_period,
    )


def check_ranges(robot: RobotModel, task: TaskConfig) -> None:
    """Raise a ConfigError if a range is a fraction of a torque limit that there is not."""
    unlimited = ~np.isfinite(robot.torque_limits)
    for name in ("joint_damping", "joint_friction"):
        if any(getattr(task.randomization, name)) and unlimited.any():
            joint = robot.joint_names[int(np.argmax(unlimited))]
            raise ConfigError(
                f'task.randomization.{name}: joint "{joint}" of {robot.name} has no torque limit '
                f"of which this could be a fraction; give its actuator a forcerange"
            )


def randomize(
    batch: Batch, robot: RobotModel, task: TaskConfig, rows: Ints, streams: Streams
) -> None:
    """Draw the model parameters of these simulations anew; a range without width costs nothing."""
    ranges = task.randomization
    model = robot.model

    def draw(bounds: Sequence[float], count: int = 1) -> Array:
        return bounds[0] + (bounds[1] - bounds[0]) * streams.uniform(rows, count)

    if any(gain != 1.0 for gain in ranges.servo_gain):
        factor = np.ones((len(rows), model.nu))
        factor[:, robot.actuator_ids] = draw(ranges.servo_gain, len(robot.actuator_ids))
        for name in ("actuator_gainprm", "actuator_biasprm"):
            batch.expand(name)[rows] = factor[:, :, None] * getattr(model, name)
    joints = len(robot.dof_adr)
    for name, bounds in (
        ("dof_damping", ranges.joint_damping),
        ("dof_frictionloss", ranges.joint_friction),
    ):
        if any(bounds):
            extra = np.zeros((len(rows), model.nv))
            extra[:, robot.dof_adr] = draw(bounds, joints) * robot.torque_limits
            field = batch.expand(name)
            field[rows] = (getattr(model, name).reshape(-1) + extra).reshape(field[rows].shape)
    if any(ranges.payload):
        batch.expand("body_mass")[rows, robot.payload_body] = draw(ranges.payload)[:, 0]
        batch.set_const(rows)


RANDOMIZED = (
    "actuator_gainprm",
    "actuator_biasprm",
    "dof_damping",
    "dof_frictionloss",
    "body_mass",
)
"""Model fields that randomize() may give each simulation."""
