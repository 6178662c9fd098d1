"""A bundle before the protocol: its own joint targets drive the simulated servos."""

import numpy as np

from reach_rl.deploy.bundle import Bundle
from reach_rl.evaluation.protocol import Pilot
from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.mdp.arrays import Array


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
        if batch.pending.shape[1] == 1:
            batch.action = self._targets  # type: ignore[assignment]

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
        return self.out["action"]

    def _targets(self, action: Array, position: Array, velocity: Array, target: Array) -> Array:
        """The bundle's joint targets (s, n, j), in place of the environment's own."""
        return self.out["joint_path"].swapaxes(0, 1)
