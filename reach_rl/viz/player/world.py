"""One arm, its policy and its goal, stepped one control period at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import ArrayLike

from reach_rl.config.schema import Config, GoalChange
from reach_rl.envs.batch import ReachBatch
from reach_rl.evaluation.differential_ik import BatchChain, follow, twist
from reach_rl.evaluation.perturbations import NOMINAL
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel

Policy = Callable[[np.ndarray], np.ndarray]
"""Observations (n, d) float32 to actions (n, j) in [-1, 1]."""

ONE = np.zeros(1, np.int64)
SAME = 1e-6
"""A goal that was dragged by less was not (m, or in the quaternion)."""

PUSH_SECONDS = 0.2
PUSHED_BY = 0.3
"""Of a joint without a torque limit: how far its servo would be off to give that torque (rad)."""

PUSH_SHARE = 0.8
"""Torque of a push about the first joint, as a share of that joint's limit."""

STARTS, ITERATIONS = 48, 80
LONGEST_STEP = 0.4
"""Largest change of a joint in one iteration of inverse kinematics (rad)."""

ORIENTATION_WEIGHT = 0.2
"""Metres that a radian counts as, while a pose is looked for."""

POSITION, ORIENTATION = 2e-3, 1e-2
"""Close enough to count as there (m, rad)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to show after a step."""

    time: float
    """Simulated time since the last reset (s)."""
    position_error: float
    """Distance of the tool from the goal (m)."""
    orientation_error: float
    """Angle of the tool from the goal (rad)."""
    held: float
    """Time inside both thresholds without a break (s)."""
    reached_after: float | None
    """Time from the goal's last change until it had been held, None before that (s)."""
    inside: bool
    """Whether both errors are below their thresholds now."""
    success: bool
    """Inside, and held for long enough."""
    joint_speed: float
    """Fastest joint (rad/s)."""
    reward: float


class World:
    """The simulation that a player shows."""

    def __init__(self, config: Config, policy: Policy, robot: RobotModel, seed: int = 0) -> None:
        """Put the arm at its home with a random goal of the run's region.

        Args:
            config: the run that the policy comes from; nothing is randomised or noisy here.
            policy: what moves the arm.
            robot: the compiled arm.
            seed: of the goals.

        Raises:
            ConfigError: the region cannot be reached.
        """
        # without an end, without chance, and with a goal that only the user moves
        calm = {"start_noise": 0.0, "randomization": NOMINAL, "episode_steps": 2**31}
        task = replace(config.task, goal_change=GoalChange.NEVER, **calm)
        self.config = replace(config, task=task)
        self.policy = policy
        self.robot = robot
        self.batch = ReachBatch(self.config, 1, np.array([seed]), robot=robot, autoreset=False)
        self.pool = self.batch.goals
        self._random = np.random.default_rng(seed)
        self._force = self.batch.batch.bind("xfrc_applied")
        self._qpos = self.batch.batch.bind("qpos")
        self._push_steps = 0
        self._observation, self.time = self.batch.reset(), 0.0
        self.random_goal()

    @property
    def period(self) -> float:
        """Simulated time of a step (s)."""
        return self.config.task.control_period

    @property
    def qpos(self) -> np.ndarray:
        """(nq,) positions of the whole model now."""
        return self._qpos[0].copy()

    @property
    def goal(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) in m and quaternion (4,) w, x, y, z of the goal, in the world frame."""
        state = self.batch.state
        return state.goal_position[0].copy(), state.goal_quaternion[0].copy()

    def reset(self) -> None:
        """Put the arm back to its home; the goal stays."""
        goal = self.goal
        self._let_go()
        self._observation, self.time = self.batch.reset(), 0.0
        self.set_goal(*goal)

    def random_goal(self) -> None:
        """A goal of the run's region, which can be reached without touching anything."""
        index = int(self._random.integers(len(self.pool)))
        self.set_goal(self.pool.position[index], self.pool.quaternion[index])

    def set_goal(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Move the goal: position (3,) in m and quaternion (4,), which need not have length 1."""
        quaternion = np.asarray(quaternion, float) / max(float(np.linalg.norm(quaternion)), 1e-9)
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, quaternion)
        pose = np.array(position, float)[None], quaternion[None], matrix.reshape(1, 3, 3)
        self.batch.goals = Goals(*pose, joints=self.robot.home[None], spread=np.zeros(1), kept=1.0)
        self._observation = self.batch.assign_goals(ONE, ONE)
        self._goal_at, self._reached_after = self.time, None

    def take_goal(self, position: ArrayLike, quaternion: ArrayLike) -> bool:
        """Move the goal where it was dragged, as set_goal; whether it was dragged at all."""
        wanted = np.concatenate([position, quaternion])
        dragged = bool(np.abs(wanted - np.concatenate(self.goal)).max() > SAME)
        if dragged:
            self.set_goal(wanted[:3], wanted[3:])
        return dragged

    def push(self) -> None:
        """Push the tool sideways for a moment."""
        arm = float(np.linalg.norm(self.batch.state.tool_position[0, :2])) + 0.2
        robot = self.robot
        stiffness = robot.servo_damping[0] / robot.servo_lag[0]
        torque = min(robot.torque_limits[0], PUSHED_BY * stiffness)
        size = PUSH_SHARE * float(torque) / arm
        angle = self._random.uniform(0.0, 2.0 * np.pi)
        sideways = np.array([np.cos(angle), np.sin(angle), 0.0])
        self._force[0, robot.tool_body, :3] = size * sideways
        self._push_steps = max(1, round(PUSH_SECONDS / self.period))

    def step(self) -> Reading:
        """One control period."""
        step = self.batch.step(self.policy(self._observation))
        self._observation = step.observation
        self.time += self.period
        if self._push_steps:
            self._push_steps -= 1
            if not self._push_steps:
                self._let_go()
        if step.timed_out[0]:  # MuJoCo gave up on this simulation
            self.reset()
        return self.reading(float(step.reward[0]))

    def reading(self, reward: float = 0.0) -> Reading:
        """What there is to show now."""
        state = self.batch.state
        inside = int(state.inside_steps[0])
        if state.reached[0] and self._reached_after is None:
            self._reached_after = self.time - self._goal_at
        return Reading(
            time=self.time,
            position_error=float(state.distance[0]),
            orientation_error=float(state.angle[0]),
            held=max(0, inside - 1) * self.period,
            reached_after=self._reached_after,
            inside=inside > 0,
            success=inside >= self.config.task.hold_steps,
            joint_speed=float(np.abs(state.joint_velocity[0]).max()),
            reward=reward,
        )

    def _let_go(self) -> None:
        self._push_steps = 0
        self._force[:] = 0.0


class Reachable:
    """Differential inverse kinematics from many random starts; an answer takes some 50 ms."""

    def __init__(self, robot: RobotModel, seed: int = 0) -> None:
        """Prepare for one arm."""
        self.robot = robot
        self.batch = Batch(robot.model, STARTS, 1)
        self._qpos, self._sensors = self.batch.bind("qpos"), self.batch.bind("sensordata")
        self._chain = BatchChain.of(robot)
        low = np.maximum(robot.low, robot.home - np.pi)
        high = np.minimum(robot.high, robot.home + np.pi)
        self._starts = np.random.default_rng(seed).uniform(low, high, (STARTS, len(low)))
        self._starts[0] = robot.home

    def __call__(self, position: np.ndarray, quaternion: np.ndarray) -> str:
        """Why the tool cannot get to position (3,) in m and quaternion (4,), world frame; or ""."""
        robot = self.robot
        far = float(np.linalg.norm(position - robot.base_position))
        if far > 1.3 * robot.reach:
            return f"{far:.2f} m from the base; the arm's reach is about {robot.reach:.2f} m"
        goal = np.tile(position, (STARTS, 1)), np.tile(quaternion, (STARTS, 1))
        largest = np.full(len(robot.home), LONGEST_STEP)
        joints = follow(
            self._chain, self._starts, *goal, steps=ITERATIONS, largest=largest,
            orientation_weight=ORIENTATION_WEIGHT,
        )[:, -1]  # fmt: skip
        move, turn = np.split(twist(self._chain, joints, *goal)[0], 2, axis=1)
        there = np.linalg.norm(move, axis=1) < POSITION
        there &= np.linalg.norm(turn, axis=1) < ORIENTATION
        self._qpos[:] = robot.home_qpos
        self._qpos[:, robot.qpos_adr] = joints
        self.batch.forward(stage=int(mujoco.mjtStage.mjSTAGE_POS))
        free = (self._sensors[:, [robot.self_contact, robot.table_contact]] == 0).all(axis=1)
        if (there & free).any():
            return ""
        touching = "the arm would touch itself or the table there"
        return touching if there.any() else "no joint angles bring the tool to this pose"
