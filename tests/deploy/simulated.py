"""A simulated arm behind the controller's protocol, and a clock that costs no time."""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from reach_rl.deploy import JointState
from reach_rl.deploy import controller as deploy
from reach_rl.robots import load_robot


@dataclass
class Clock(deploy.Clock):
    """Sleeping moves it on; `delays` are added to the sleeps of these numbers."""

    time: float = 100.0
    sleeps: int = 0
    delays: dict[int, float] = field(default_factory=dict)

    def now(self):
        return self.time

    def sleep_until(self, then):
        self.time = max(self.time, then) + self.delays.get(self.sleeps, 0.0)
        self.sleeps += 1
        return self.time


class Arm:
    """MuJoCo at the servo's rate: every write is one physics step on."""

    def __init__(self, config, clock, rate=500.0):
        self.robot = load_robot(config.robot, 1.0 / rate)
        self.clock = clock
        self.data = mujoco.MjData(self.robot.model)
        self.data.qpos[:] = self.robot.home_qpos
        self.data.ctrl[:] = self.robot.base_ctrl
        mujoco.mj_forward(self.robot.model, self.data)
        self.targets, self.speeds = [], []
        self.reads = 0

    def read(self):
        self.reads += 1
        r, d = self.robot, self.data
        return JointState(d.qpos[r.qpos_adr].copy(), d.qvel[r.dof_adr].copy(), self.clock.now())

    def write(self, target):
        self.targets.append(np.array(target))
        self.data.ctrl[self.robot.ctrl_ids] = target
        mujoco.mj_step(self.robot.model, self.data)
        self.speeds.append(self.data.qvel[self.robot.dof_adr].copy())
