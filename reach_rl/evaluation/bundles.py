"""A bundle before the protocol: its own joint targets drive the simulated servos."""

import numpy as np

from reach_rl.deploy.bundle import Bundle
from reach_rl.evaluation.protocol import Pilot
from reach_rl.evaluation.recording import JudgedBatch


class BundlePilot(Pilot):
    """Gives a bundle what a robot would give it, and the servos what it answers.

    It sees joint angles, joint speeds and the goal, without the noise that the run's observation
    may have. Where the simulated arm delays actions, the bundle's action goes through that delay
    and the simulation makes the targets of it.
    """

    def __init__(self, bundle: Bundle) -> None:
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
