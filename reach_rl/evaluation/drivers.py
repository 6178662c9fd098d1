"""Who may drive the arms of an evaluation: a policy, a bundle, and yardsticks that learnt nothing.

Each has a name in the registry (extend.driver) and is made from a run's configuration, its arm and,
where it is one, what was loaded: `policy` from observations to actions, `bundle` from what `export`
writes. Yardsticks need nothing but the arm.

`ik` is inverse kinematics that drives the same servos: mink follows each goal from the arm's start
in differential inverse kinematics, every control period the damped least-squares step to the goal,
as a quadratic program under the joint ranges and the speed at full action. That path, solved once a
goal, is what the servos then follow through the action of joint speeds, limits of speed and torque
included. It sees neither the table nor the arm's own links.

`straight` has no path, but the joint angles at the goal by the closed form that policies may see
too, the nearest of them that looks free of contact.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reach_rl import extend
from reach_rl.config.schema import Config, ObservationConfig, ObservationTerm
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.protocol import Driver, Policy, PolicyDriver
from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.state import Arm
from reach_rl.robots import RobotModel

if TYPE_CHECKING:
    from reach_rl.deploy.bundle import Bundle

GAIN = 8.0
"""Joint speed per joint's distance from the path (1/s)."""

STRAIGHT_GAIN = 4.0
"""Joint speed per joint's distance from the goal's angles (1/s)."""

CLOSE = 1e-4
"""The path ends where the weighted pose error is below this (m)."""

DAMPING = 1.0
"""Levenberg-Marquardt damping per squared error, which fades towards the goal."""


def make_driver(
    name: str,
    config: Config,
    robot: RobotModel,
    loaded: Any = None,  # noqa: ANN401  what it is made of
) -> tuple[Config, Driver]:
    """A driver by its name, and the configuration with what it observes and how it acts."""
    return extend.entries("driver")[name](config, robot, loaded)


@extend.driver
def policy(config: Config, robot: RobotModel, loaded: Policy) -> tuple[Config, Driver]:
    """A policy that sees what the run observes."""
    return config, PolicyDriver(loaded)


@extend.driver
def bundle(config: Config, robot: RobotModel, loaded: "Bundle") -> tuple[Config, Driver]:
    """What export has written: its own joint targets drive the servos."""
    return config, BundleDriver(loaded)


@extend.driver
def ik(config: Config, robot: RobotModel, loaded: None = None) -> tuple[Config, Driver]:
    """Inverse kinematics in small steps, under the limits of joints and speeds."""
    config = _driven(config, "joint_position")
    arm = arm_of(robot, config.task)
    return config, InverseKinematics(
        PathSolver(robot, arm, config.robot.tcp_site, config.action.speed * arm.velocity_limits)
    )


@extend.driver
def straight(config: Config, robot: RobotModel, loaded: None = None) -> tuple[Config, Driver]:
    """Straight to the nearest joint angles of the goal by closed form, all joints together.

    Judging it raises a ConfigError for an arm without closed form.
    """
    config = _driven(config, "joint_error")
    speed = config.action.speed * arm_of(robot, config.task).velocity_limits
    return config, PolicyDriver(lambda error: _together(STRAIGHT_GAIN * error / speed))


def _together(action: Array) -> Array:
    """All joints slower where one is too fast."""
    return action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))


def _driven(config: Config, term: str) -> Config:
    """The run with this term seen as it is, and actions that are joint speeds."""
    seen = {term: ObservationTerm(scales=None, noise=0.0)}
    return replace(
        config,
        observation=ObservationConfig(terms=seen, normalize=False, clip=10.0),
        action=replace(config.action, kind="offset", curve=1.0),
    )


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
        s = self.batch.state
        self.out = self.bundle(
            {
                "joint_position": s.joint_position,
                "joint_velocity": s.joint_velocity,
                "goal_position": s.goal_position,
                "goal_quaternion": s.goal_quaternion,
                "self_contact": s.self_contact.astype(float),
                **self.memory,
            }
        )
        self.memory = {k: self.out[source] for k, source in self.bundle.contract.state.items()}
        if self._drives:
            self.targets = self.out["joint_path"].swapaxes(0, 1)
        return self.out["action"]


class InverseKinematics(Driver):
    """Follows a path that was solved before the episode began."""

    def __init__(self, solver: "PathSolver") -> None:
        """Follow the paths of this solver."""
        self.solver = solver

    def begin(self, batch: JudgedBatch) -> None:
        """Solve the path of every arm in the batch, from its start to its goal."""
        self.batch, self.step = batch, 0
        s, steps = batch.state, batch.task.episode_steps
        self.path = np.stack(
            [
                self.solver.path(*start_and_goal, steps)
                for start_and_goal in zip(
                    batch.start, s.goal_position, s.goal_quaternion, strict=True
                )
            ]
        )
        """(n, episode steps + 1, j) joint angles at the ends of the control periods (rad)."""

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Joint speeds along the path and back to it, all joints slower where one is too fast."""
        now, then = self.path[:, self.step], self.path[:, self.step + 1]
        self.step += 1
        speed = (then - now) / self.solver.arm.control_period
        return _together(
            (speed + GAIN * (now - self.batch.state.joint_position)) / self.solver.speed
        )


class PathSolver:
    """Differential inverse kinematics of one arm."""

    def __init__(self, robot: RobotModel, arm: Arm, tcp_site: str, speed: Array) -> None:
        """Set the problem up, which then differs in start and goal alone.

        Args:
            robot: the compiled arm.
            arm: what the task knows of it.
            tcp_site: name of the tool's site.
            speed: (j,) joint speed at full action (rad/s).
        """
        import mink

        self.robot, self.arm, self.speed = robot, arm, speed
        model = robot.model
        self._configuration = mink.Configuration(model)
        self._task = mink.FrameTask(
            tcp_site,
            "site",
            position_cost=1.0,
            orientation_cost=arm.keypoint_offset,
            lm_damping=DAMPING,
        )
        speeds = dict(zip(robot.joint_names, speed[:, None], strict=True))
        self._limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds)]
        others = np.setdiff1d(np.arange(model.nv), robot.dof_adr).tolist()
        self._frozen = [mink.DofFreezingTask(model, others)] if others else None

    def path(self, start: Array, position: Array, quaternion: Array, steps: int) -> Array:
        """Joint angles at the ends of the control periods, (steps + 1, j) rad.

        Args:
            start: (j,) joint angles at the start (rad).
            position: (3,) of the goal (m).
            quaternion: (4,) of the goal, w, x, y, z.
            steps: control periods.
        """
        import mink

        robot, configuration, period = self.robot, self._configuration, self.arm.control_period
        qpos = robot.home_qpos.copy()
        qpos[robot.qpos_adr] = start
        configuration.update(qpos)
        self._task.set_target(mink.SE3(np.concatenate((quaternion, position))))
        weights = np.repeat((1.0, self.arm.keypoint_offset), 3)
        path = np.repeat(start[None], steps + 1, axis=0)
        for step in range(1, steps + 1):
            if np.linalg.norm(weights * self._task.compute_error(configuration)) < CLOSE:
                break
            try:
                velocity = mink.solve_ik(
                    configuration,
                    [self._task],
                    period,
                    "daqp",
                    limits=self._limits,
                    constraints=self._frozen,
                )
            except mink.NoSolutionFound:
                break
            configuration.integrate_inplace(velocity, period)
            path[step:] = configuration.q[robot.qpos_adr]
        return path
