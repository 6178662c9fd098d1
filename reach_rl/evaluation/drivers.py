"""Who may drive the arms of an evaluation: a policy, a bundle, and yardsticks that learnt nothing.

A policy is a Driver by itself. Each other one has a name in the registry (extend.driver), whose
entry makes of a run's configuration, its arm and, where it is one, what was loaded the
configuration with what it observes and how it acts, and the driver: `bundle` is what `export`
writes. Yardsticks need nothing but the arm, drive the same servos through the action of joint
speeds, limits of speed and torque included, and say what they know.

`ik` is inverse kinematics: it follows each goal from the arm's start in small steps
(evaluation.differential_ik), one a control period. That path, solved once a goal, is what the
servos then follow. Where nothing else carries an arm, its weight is put on top of the servos'
targets, as a robot's controller does.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reach_rl import extend
from reach_rl.config.schema import Config, ObservationConfig, ObservationTerm
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.differential_ik import BatchChain, follow
from reach_rl.evaluation.protocol import Driver
from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.mdp.arrays import Array
from reach_rl.robots import RobotModel
from reach_rl.robots.joints import lineage

if TYPE_CHECKING:
    from reach_rl.deploy.bundle import Bundle

GAIN = 8.0
"""Joint speed per joint's distance from the path (1/s)."""


@extend.driver
def bundle(config: Config, robot: RobotModel, loaded: "Bundle") -> tuple[Config, Driver]:
    """What export has written: its own joint targets drive the servos."""
    return config, BundleDriver(loaded)


@extend.driver
def ik(config: Config, robot: RobotModel, loaded: None = None) -> tuple[Config, Driver]:
    """Inverse kinematics in small steps, under the limits of joints and speeds."""
    config = driven(config, "joint_position")
    return config, InverseKinematics(config, robot)


def driven(config: Config, term: str) -> Config:
    """The run with this term seen as it is, and actions that are joint speeds."""
    seen = {term: ObservationTerm(scales=None, noise=0.0)}
    return replace(
        config,
        observation=ObservationConfig(terms=seen, normalize=False, clip=10.0),
        action=replace(config.action, kind="offset", curve=1.0),
    )


class JointSpeeds(Driver):
    """Asks for joint speeds, all joints slower where one is too fast, and carries the arm's weight.

    Where gravity is not compensated, or springs pull, what holds the arm still where it is
    (MuJoCo's qfrc_bias, less what compensates gravity and springs) is added to the targets, by the
    servos' nominal stiffness.
    """

    def __init__(self, config: Config, robot: RobotModel) -> None:
        """Drive this arm as the run's action would."""
        self.arm = arm_of(robot, config.task)
        self.speed = config.action.speed * self.arm.velocity_limits
        self._stiffness = robot.servo_damping / robot.servo_lag
        self._dof = robot.dof_adr
        self._loaded = is_loaded(robot)

    def begin(self, batch: JudgedBatch) -> None:
        """Take the arms over."""
        self.batch = batch
        self._load = {name: batch.batch.bind(f"qfrc_{name}") for name in _LOADS}

    def drive(self, speed: Array) -> Array:
        """The action (n, j) for joint speeds (rad/s), and the targets where the arm weighs down."""
        action = speed / self.speed
        action = action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))
        if self._loaded:
            b, s = self.batch, self.batch.state
            last = b.pending[b._all, np.maximum(b.delay - 1, 0)]
            now = np.where(b.delay[:, None] > 0, last, action)
            load = sum(sign * self._load[name][:, self._dof] for name, sign in _LOADS.items())
            self.targets = b.action(now, s, b.target)
            self.targets += load / self._stiffness
        return action


_LOADS = {"bias": 1.0, "gravcomp": -1.0, "spring": -1.0}


def is_loaded(robot: RobotModel) -> bool:
    """Whether the servos of an arm must give torque to hold it still."""
    model = robot.model
    first = {*model.jnt_bodyid[model.dof_jntid[robot.dof_adr]]}
    moved = np.array([bool(first & {*lineage(model, body)}) for body in range(model.nbody)])
    weighs = moved & (model.body_mass > 0.0) & (model.body_gravcomp != 1.0)
    springs = model.jnt_stiffness[model.dof_jntid[robot.dof_adr]] > 0.0
    return bool((weighs.any() and model.opt.gravity.any()) or springs.any())


class InverseKinematics(JointSpeeds):
    """Follows a path that was solved before the episode began."""

    knows = "the arm's joints, limits and weight; not the table, nor that the arm may touch itself"

    def __init__(self, config: Config, robot: RobotModel) -> None:
        """Solve paths of this arm."""
        super().__init__(config, robot)
        self.chain = BatchChain.of(robot)

    def begin(self, batch: JudgedBatch) -> None:
        """Solve the path of every arm in the batch, from its start to its goal."""
        super().begin(batch)
        goal, self.step = (batch.state.goal_position, batch.state.goal_quaternion), 0
        self.path = self.paths(batch.start, *goal, batch.task.episode_steps)

    def paths(self, start: Array, position: Array, quaternion: Array, steps: int) -> Array:
        """Joint angles at the ends of the control periods, (n, steps + 1, j) rad."""
        return follow(
            self.chain,
            start,
            position,
            quaternion,
            steps=steps,
            largest=self.speed * self.arm.control_period,
            orientation_weight=self.arm.keypoint_offset,
        )

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Joint speeds along the path and back to it."""
        now, then = self.path[:, self.step], self.path[:, self.step + 1]
        self.step += 1
        speed = (then - now) / self.arm.control_period
        return self.drive(speed + GAIN * (now - self.batch.state.joint_position))


class BundleDriver(Driver):
    """Gives a bundle what a robot would give it, and the servos what it answers.

    It sees joint angles, joint speeds and the goal, without the noise that the run's observation
    may have. Where the simulated arm delays actions, the bundle's action goes through that delay
    and the simulation makes the targets of it.
    """

    def __init__(self, bundle: "Bundle") -> None:
        """Judge this bundle."""
        self.bundle = bundle

    def begin(self, batch: JudgedBatch) -> None:
        """Take the arms over."""
        self.batch = batch
        start = self.bundle.first_state(batch.state.joint_position)
        self.memory = {name: value.copy() for name, value in start.items()}
        self._drives = batch.pending.shape[1] == 1

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The bundle's actions (n, j)."""
        seen = sensed(self.batch, self.bundle.contract.in_base_frame)
        self.out = self.bundle({**seen, **self.memory, "observation": observation})
        self.memory = {k: self.out[source] for k, source in self.bundle.contract.state.items()}
        if self._drives:
            self.targets = self.out["joint_path"].swapaxes(0, 1)
        return self.out["action"]


def sensed(batch: ReachBatch, in_base_frame: bool = True) -> dict[str, Array]:
    """What a robot would tell a bundle, (n, ...) each; goals in the world's frame or the base's."""
    s = batch.state
    goal = s.goal_position, s.goal_quaternion
    position, quaternion = batch.robot.in_base(*goal) if in_base_frame else goal
    return {
        "joint_position": s.joint_position,
        "joint_velocity": s.joint_velocity,
        "goal_position": position,
        "goal_quaternion": quaternion,
        "self_contact": s.self_contact.astype(float),
    }
