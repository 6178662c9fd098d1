"""What policies are measured by: inverse kinematics that drives the same servos, nothing learned.

mink follows each goal from the arm's start in differential inverse kinematics: every control
period the damped least-squares step to the goal, as a quadratic program under the joint ranges and
the speed at full action. That path, solved once a goal, is what the servos then follow through the
action of joint speeds, limits of speed and torque included. It sees neither the table nor the
arm's own links.

straight_in_the_joints is a second one: no path, but the joint angles at the goal by the closed form
that policies may see too, the nearest of them that looks free of contact.
"""

from dataclasses import replace

import numpy as np

from reach_rl.config.schema import Config, ObservationConfig, ObservationTerm
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.protocol import Pilot, Policy
from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.state import Arm
from reach_rl.robots import RobotModel

NAME = "yardstick"

GAIN = 8.0
"""Joint speed per joint's distance from the path (1/s)."""

STRAIGHT_GAIN = 4.0
"""Joint speed per joint's distance from the goal's angles (1/s)."""

CLOSE = 1e-4
"""The path ends where the weighted pose error is below this (m)."""

DAMPING = 1.0
"""Levenberg-Marquardt damping per squared error, which fades towards the goal."""


def inverse_kinematics(config: Config, robot: RobotModel) -> "tuple[Config, InverseKinematics]":
    """The yardstick, and the run's configuration with the action that it needs."""
    config = _driven(config, "joint_position")
    arm = arm_of(robot, config.task)
    return config, InverseKinematics(
        Solver(robot, arm, config.robot.tcp_site, config.action.speed * arm.velocity_limits)
    )


def straight_in_the_joints(config: Config, robot: RobotModel) -> tuple[Config, Policy]:
    """Straight to the nearest joint angles by closed form, and the configuration that it needs.

    All joints arrive together. Judging it raises a ConfigError for an arm without closed form.
    """
    config = _driven(config, "joint_error")
    speed = config.action.speed * arm_of(robot, config.task).velocity_limits

    def policy(observation: np.ndarray) -> np.ndarray:
        action = STRAIGHT_GAIN * observation / speed
        return action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))

    return config, policy


def _driven(config: Config, term: str) -> Config:
    """The run with this term seen as it is, and actions that are joint speeds."""
    seen = {term: ObservationTerm(scales=None, noise=0.0)}
    return replace(
        config,
        observation=ObservationConfig(terms=seen, normalize=False, clip=10.0),
        action=replace(config.action, kind="offset", curve=1.0),
    )


class InverseKinematics(Pilot):
    """Follows a path that was solved before the episode began."""

    def __init__(self, solver: "Solver") -> None:
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
        action = (speed + GAIN * (now - self.batch.state.joint_position)) / self.solver.speed
        return action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))


class Solver:
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
