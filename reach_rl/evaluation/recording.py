"""The batch as the judge sees it: the same trajectory, watched at every physics step."""

import time
from typing import Any

import mujoco
import numpy as np

from reach_rl.config.schema import Config
from reach_rl.envs.batch import VEL, ReachBatch
from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.goals import Goals
from reach_rl.robots import Robot

CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)

ROUNDING = 1e-9
"""A drive that MuJoCo holds at its limit may be below it by the last digits of a sum."""

_FIELDS = ("qpos", "qvel", "sensordata", "qfrc_actuator", "qfrc_gravcomp")


class JudgedBatch(ReachBatch):
    """n arms that go on for one episode; what they did is in the public arrays, (n,) each.

    With `physics_records` joint angles, speeds and contacts are taken at every physics step, else
    contacts at every control step and the rest is NaN.
    """

    def __init__(
        self,
        config: Config,
        seeds: Ints,
        goals: Goals,
        robot: Robot,
        *,
        threads: int,
        physics_records: bool,
    ) -> None:
        """Make the batch; `seeds` (n,) start each environment's random stream."""
        n = len(seeds)
        super().__init__(
            config, n, seeds, threads=threads, goals=goals, autoreset=False, robot=robot
        )
        self.physics_records = physics_records
        self.poisoned = np.zeros(n, bool)
        """The physics went bad."""
        self.self_touched = np.zeros(n, bool)
        """The arm touched itself."""
        self.table_touched = np.zeros(n, bool)
        """The arm touched the table."""
        nothing = 0.0 if physics_records else np.nan
        self.peak_speed = np.full(n, nothing)
        """Largest joint speed as a fraction of its limit."""
        self.fast_steps = np.full(n, nothing)
        """Physics steps in which a joint was faster than its limit."""
        self.steps_outside = np.full(n, nothing)
        """Physics steps in which a joint was outside its range."""
        self.peak_torque = np.full(n, nothing)
        """Largest torque of a joint's drive, gravity compensation included, over its limit."""
        self.strained_steps = np.full(n, nothing)
        """Physics steps in which a drive gave all its torque, or more."""
        self.peak_acceleration = np.full(n, nothing)
        """Largest change of a joint's speed in a physics step, over that step (rad/s2)."""
        self.path = np.full(n, nothing)
        """Length of the path of the joints (rad)."""
        self.jerk = np.full(n, nothing)
        """Sum over the physics steps of the squared joint jerk (rad2/s6)."""
        self.final_speed = np.zeros(n)
        """Largest norm of the joint speeds in the last control period (rad/s)."""
        self._out: dict[Any, np.ndarray] = {}
        # a drive that compensates gravity itself has it in its own force already
        self._gravity = 1.0 - self.robot.model.jnt_actgravcomp[self._joint_ids]

    def begin(self, first: int) -> np.ndarray:
        """Start the episode with goals first, first + 1, ...; observations (n, d)."""
        self.reset()
        observation = self.assign_goals(self._all, first + self._all)
        self.start = self.state.joint_position.copy()
        # two speeds before the first step, at rest: a jerk needs three
        self._before = np.zeros((self.n, 2, self.joints))
        self._look()
        return observation

    def step_on(self, action: np.ndarray) -> np.ndarray:
        """Advance one control period; observations (n, d)."""
        observation = self.step(action).observation
        self._look()
        return observation

    def _look(self) -> None:
        self.self_touched |= self.state.self_contact
        self.table_touched |= self.state.table_contact
        # joints that chatter between two actions may look still at every action
        speed = self.state.joint_velocity[:, None]
        if self._out:
            speed = self._out["qvel"][:, :, self.robot.dof_adr]
        self.final_speed = np.linalg.norm(speed, axis=2).max(axis=1)

    def _guard(self) -> Bools:
        bad = super()._guard()
        self.poisoned |= bad
        return bad

    def _advance(self, targets: Array) -> None:
        if not self.physics_records:
            super()._advance(targets)
            return
        begin = time.perf_counter()
        before = self.state.joint_position
        control = np.repeat(self._ctrl[:, None], len(targets), axis=1)
        control[:, :, self.robot.ctrl_ids] = targets.swapaxes(0, 1)
        self._out = self.batch.rollout(
            len(targets), control, CONTROL, record=_FIELDS, out=self._out or None
        )
        self.batch.forward(stage=VEL)
        self.seconds_physics += time.perf_counter() - begin
        self._record(before)

    def _record(self, before: Array) -> None:
        """Take in the records of one control period, (n, substeps, ...) each."""
        r, out = self.robot, self._out
        position, speed = out["qpos"][:, :, r.qpos_adr], out["qvel"][:, :, r.dof_adr]
        share = (np.abs(speed) / r.velocity_limits).max(axis=2)
        np.maximum(self.peak_speed, share.max(axis=1), out=self.peak_speed)
        self.fast_steps += (share > 1.0).sum(axis=1)
        outside = (position < r.low) | (position > r.high)
        self.steps_outside += outside.any(axis=2).sum(axis=1)
        torque = out["qfrc_actuator"][:, :, r.dof_adr]
        torque = torque + self._gravity * out["qfrc_gravcomp"][:, :, r.dof_adr]
        load = (np.abs(torque) / r.torque_limits).max(axis=2)
        np.maximum(self.peak_torque, load.max(axis=1), out=self.peak_torque)
        self.strained_steps += (load > 1.0 - ROUNDING).sum(axis=1)
        # sensors lag one physics step here; the last one is in the state after the period
        self.self_touched |= (out["sensordata"][:, :, r.self_contact] > 0).any(axis=1)
        self.table_touched |= (out["sensordata"][:, :, r.table_contact] > 0).any(axis=1)
        moves = np.diff(position, axis=1, prepend=before[:, None])
        self.path += np.linalg.norm(moves, axis=2).sum(axis=1)
        speeds = np.concatenate((self._before, speed), axis=1)
        acceleration = np.diff(speeds, axis=1) / self.task.physics_step
        peak = np.abs(acceleration[:, 1:]).max(axis=(1, 2))
        np.maximum(self.peak_acceleration, peak, out=self.peak_acceleration)
        jerk = np.diff(acceleration, axis=1) / self.task.physics_step
        self.jerk += np.square(jerk).sum(axis=(1, 2))
        self._before = speeds[:, -2:]
