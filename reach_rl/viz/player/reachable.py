"""Whether the arm can bring its tool to a pose: numerical inverse kinematics from many starts."""

from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch

from reach_rl.mdp.arrays import cross, rotation_error
from reach_rl.robots import RobotModel

STARTS = 48
ITERATIONS = 80
DAMPING = 1e-3
LONGEST_STEP = 0.4
"""Largest change of a joint in one iteration (rad)."""

POSITION, ORIENTATION = 2e-3, 1e-2
"""Close enough to count as there (m, rad)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a pose."""

    reachable: bool
    reason: str
    """Why not; empty if reachable."""


class Reachable:
    """Damped least squares from many random starts at once; an answer takes some 50 ms."""

    def __init__(self, robot: RobotModel, seed: int = 0) -> None:
        """Prepare for one arm."""
        self.robot = robot
        self.batch = Batch(robot.model, STARTS, 1)
        bind = self.batch.bind
        self._qpos = bind("qpos")
        self._place, self._turn = bind("site_xpos"), bind("site_xquat")
        self._anchor, self._axis = bind("xanchor"), bind("xaxis")
        self._sensors = bind("sensordata")
        self._joints = robot.model.dof_jntid[robot.dof_adr]
        low = np.where(np.isfinite(robot.low), robot.low, robot.home - np.pi)
        high = np.where(np.isfinite(robot.high), robot.high, robot.home + np.pi)
        low, high = np.maximum(low, robot.home - np.pi), np.minimum(high, robot.home + np.pi)
        random = np.random.default_rng(seed)
        self._starts = random.uniform(low, high, (STARTS, len(low)))
        self._starts[0] = robot.home
        self._hinge = robot.model.jnt_type[self._joints] == mujoco.mjtJoint.mjJNT_HINGE

    def __call__(self, position: np.ndarray, quaternion: np.ndarray) -> Answer:
        """Whether the tool can get to position (3,) in m and quaternion (4,), world frame."""
        far = float(np.linalg.norm(position - self.robot.base_position))
        if far > 1.3 * self.robot.reach:
            reach = f"the arm's reach is about {self.robot.reach:.2f} m"
            return Answer(False, f"{far:.2f} m from the base; {reach}")
        joints = self._starts.copy()
        for _ in range(ITERATIONS):
            there, free = self._at(joints, position, quaternion)
            if (there & free).any():
                return Answer(True, "")
            joints = np.clip(joints + self._step, self.robot.low, self.robot.high)
        if there.any():
            return Answer(False, "the arm would touch itself or the table there")
        return Answer(False, "no joint angles bring the tool to this pose")

    def _at(self, joints: np.ndarray, position: np.ndarray, quaternion: np.ndarray) -> tuple:
        """Which starts are there, which are free; leaves the next step in self._step."""
        robot = self.robot
        self._qpos[:] = robot.home_qpos
        self._qpos[:, robot.qpos_adr] = joints
        self.batch.forward(stage=int(mujoco.mjtStage.mjSTAGE_POS))
        tool = self._place[:, robot.tcp_site]
        move = position - tool
        turn = rotation_error(self._turn[:, robot.tcp_site], np.tile(quaternion, (STARTS, 1)))
        axis, anchor = self._axis[:, self._joints], self._anchor[:, self._joints]
        hinge = self._hinge[None, :, None]
        linear = np.where(hinge, cross(axis, tool[:, None, :] - anchor), axis)
        angular = np.where(hinge, axis, 0.0)
        jacobian = np.concatenate([linear, angular], axis=2).transpose(0, 2, 1)
        error = np.concatenate([move, turn], axis=1)
        square = jacobian @ jacobian.transpose(0, 2, 1) + DAMPING * np.eye(6)
        step = (jacobian.transpose(0, 2, 1) @ np.linalg.solve(square, error[:, :, None]))[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        self._step = step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-9))
        there = (np.linalg.norm(move, axis=1) < POSITION) & (
            np.linalg.norm(turn, axis=1) < ORIENTATION
        )
        contacts = self._sensors[:, [robot.self_contact, robot.table_contact]]
        return there, (contacts == 0).all(axis=1)
