"""What is recorded of judged episodes: of all at every physics step, of a few for showing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np

from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.physics import VEL
from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array, Ints
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel

CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)

ROUNDING = 1e-9
"""A drive that MuJoCo holds at its limit may be below it by the last digits of a sum."""

RECORDS = (
    "max_speed_of_limit", "share_above_speed_limit", "share_outside_joint_range",
    "max_torque_of_limit", "share_at_torque_limit", "max_joint_acceleration", "path_ratio", "jerk",
)  # fmt: skip
"""What is recorded at every physics step, by its name in an Evaluation."""

_FIELDS = ("qpos", "qvel", "sensordata", "qfrc_actuator", "qfrc_gravcomp")


class JudgedBatch(ReachBatch):
    """n arms that go on for one episode; what they did is in the public arrays, (n,) each.

    With `physics_records` joint angles, speeds and contacts are taken at every physics step, else
    contacts at every control step and the rest is NaN.
    """

    persistent = False
    """A rollout begins anew with every call, and one MjData a thread stays in the caches."""

    def __init__(
        self,
        config: Config,
        seeds: Ints,
        goals: Goals,
        robot: RobotModel,
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
        self.records = {name: np.full(n, 0.0 if physics_records else np.nan) for name in RECORDS}
        """What Evaluation has of these names; shares are counts of physics steps until found()."""
        if not np.isfinite(self.robot.torque_limits).any():  # a share of nothing is not 0
            for name in ("max_torque_of_limit", "share_at_torque_limit"):
                self.records[name][:] = np.nan
        self.final_speed = np.zeros(n)
        """Largest norm of the joint speeds in the last control period (rad/s)."""
        self._fields = _FIELDS if physics_records else ()
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

    def step_on(self, action: np.ndarray, targets: Array | None = None) -> np.ndarray:
        """Advance one control period, as ReachBatch.step takes it; observations (n, d)."""
        observation = self.step(action, targets).observation
        self._look()
        return observation

    def _look(self) -> None:
        self.poisoned[[incident.row for incident in self.guard.taken()]] = True
        self.self_touched |= self.state.self_contact
        self.table_touched |= self.state.table_contact
        # joints that chatter between two actions may look still at every action
        speed = self.state.joint_velocity[:, None]
        if self._out:
            speed = self._out["qvel"][:, :, self.robot.dof_adr]
        self.final_speed = np.linalg.norm(speed, axis=2).max(axis=1)

    def _advance(self, targets: Array) -> None:
        begin = time.perf_counter()
        before = self.state.joint_position
        control = np.repeat(self._ctrl[:, None], len(targets), axis=1)
        control[:, :, self.robot.ctrl_ids] = targets.swapaxes(0, 1)
        self._out = self.batch.rollout(
            len(targets), control, CONTROL, record=self._fields, out=self._out or None
        )
        self.batch.forward(stage=VEL)
        self.seconds_physics += time.perf_counter() - begin
        if self.physics_records:
            self._record(before)

    def _record(self, before: Array) -> None:
        """Take in the records of one control period, (n, substeps, ...) each."""
        r, out = self.robot, self._out
        position, speed = out["qpos"][:, :, r.qpos_adr], out["qvel"][:, :, r.dof_adr]
        of_speed = (np.abs(speed) / r.velocity_limits).max(axis=2)
        outside = (position < r.low) | (position > r.high)
        torque = out["qfrc_actuator"][:, :, r.dof_adr]
        torque = torque + self._gravity * out["qfrc_gravcomp"][:, :, r.dof_adr]
        of_torque = (np.abs(torque) / r.torque_limits).max(axis=2)
        # sensors lag one physics step here; the last one is in the state after the period
        self.self_touched |= (out["sensordata"][:, :, r.self_contact] > 0).any(axis=1)
        self.table_touched |= (out["sensordata"][:, :, r.table_contact] > 0).any(axis=1)
        moves = np.diff(position, axis=1, prepend=before[:, None])
        speeds = np.concatenate((self._before, speed), axis=1)
        self._before = speeds[:, -2:]
        acceleration = np.diff(speeds, axis=1) / self.task.physics_step
        jerk = np.diff(acceleration, axis=1) / self.task.physics_step
        for name, values in (
            ("max_speed_of_limit", of_speed.max(axis=1)),
            ("max_torque_of_limit", of_torque.max(axis=1)),
            ("max_joint_acceleration", np.abs(acceleration[:, 1:]).max(axis=(1, 2))),
        ):
            np.maximum(self.records[name], values, out=self.records[name])
        for name, values in (
            ("share_above_speed_limit", (of_speed > 1.0).sum(axis=1)),
            ("share_outside_joint_range", outside.any(axis=2).sum(axis=1)),
            ("share_at_torque_limit", (of_torque > 1.0 - ROUNDING).sum(axis=1)),
            ("path_ratio", np.linalg.norm(moves, axis=2).sum(axis=1)),
            ("jerk", np.square(jerk).sum(axis=(1, 2))),
        ):
            self.records[name] += values

    def found(self) -> dict[str, Array]:
        """The records of the whole episode, as an Evaluation has them."""
        steps = self.task.episode_steps * self.task.substeps
        found = {k: v / steps if k.startswith("share") else v for k, v in self.records.items()}
        straight = np.linalg.norm(self.state.joint_position - self.start, axis=1)
        still = np.full(self.n, np.nan)
        ratio = np.divide(found["path_ratio"], straight, out=still, where=straight > 1e-6)
        return found | {"path_ratio": ratio, "jerk": np.sqrt(found["jerk"] / steps)}


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode with a goal; t is its number of control steps, and one for the start."""

    number: int
    """Of its goal, from 0."""
    goals: int
    """How many goals were judged with it."""
    worst: bool
    """It is shown because it went worst."""
    qpos: np.ndarray
    """(t, nq) joint positions of the model."""
    goal_position: np.ndarray
    """(3,) in m, world frame."""
    goal_quaternion: np.ndarray
    """(4,) w, x, y, z."""
    position_error: np.ndarray
    """(t,) m."""
    orientation_error: np.ndarray
    """(t,) rad."""
    success: bool
    time_to_success: float
    """s; NaN without success."""


class Watcher:
    """Looks on while episodes are judged side by side. The base class does not look."""

    def begin(self, batch: JudgedBatch, first: int, goals: int) -> None:
        """Episodes with the goals from `first` on, of so many in all, are about to be judged."""

    def look(self) -> None:
        """They advanced by a control step."""

    def end(self, result: Evaluation) -> None:
        """They are over."""


NOBODY = Watcher()


class Tracks(Watcher):
    """Keeps some episodes: the same goals in every evaluation, and the worst of this one."""

    def __init__(self, fixed: int = 1, worst: int = 1) -> None:
        """Keep this many of each kind; fixed goals are spread evenly over all goals."""
        self.fixed, self.worst = fixed, worst
        self._chosen: list[Episode] = []
        self._worst: list[tuple[float, Episode]] = []

    def begin(self, batch: JudgedBatch, first: int, goals: int) -> None:
        """Make room and take the start."""
        self._batch, self._first, self._goals = batch, first, goals
        self._live = batch.batch.bind("qpos")
        self._seen: list[tuple[np.ndarray, ...]] = []
        self.look()

    def look(self) -> None:
        """Take a step."""
        state = self._batch.state
        seen = self._live, state.distance, state.angle
        self._seen.append(tuple(values.astype(np.float32) for values in seen))

    def end(self, result: Evaluation) -> None:
        """Keep what is wanted of these episodes."""
        last = self._first + len(result)
        wanted = [int((i + 0.5) * self._goals / self.fixed) for i in range(self.fixed)]
        rows = [number - self._first for number in wanted if self._first <= number < last]
        self._chosen += [self._episode(result, row) for row in dict.fromkeys(rows)]
        bad = badness(result)
        for row in np.argsort(-bad, kind="stable")[: self.worst]:
            self._worst.append((float(bad[row]), self._episode(result, int(row))))
        self._worst = sorted(self._worst, key=lambda item: -item[0])[: self.worst]
        del self._batch, self._seen, self._live

    def episodes(self) -> Sequence[Episode]:
        """What was kept: the fixed goals by number, then the worst, each once."""
        worst = {episode.number: replace(episode, worst=True) for _, episode in self._worst}
        return [e for e in self._chosen if e.number not in worst] + list(worst.values())

    def _episode(self, result: Evaluation, row: int) -> Episode:
        kept = [[values[row] for values in seen] for seen in self._seen]
        qpos, position, angle = map(np.array, zip(*kept, strict=True))
        return Episode(
            number=self._first + row,
            goals=self._goals,
            worst=False,
            qpos=qpos,
            goal_position=np.array(result.goal_position[row]),
            goal_quaternion=np.array(result.goal_quaternion[row]),
            position_error=position,
            orientation_error=angle,
            success=bool(result.success[row]),
            time_to_success=float(result.time_to_success[row]),
        )


def badness(result: Evaluation) -> Array:
    """(n,) how badly episodes went: failures first, by final errors in units of the thresholds.

    Among successes the slowest is worst.
    """
    at = result.conditions
    errors = (
        result.position_error / at.position_threshold
        + result.orientation_error / at.orientation_threshold
    )
    slow = np.nan_to_num(result.time_to_success) / at.episode_time
    return np.where(result.success, slow - 1.0, np.nan_to_num(errors, nan=1e9))
