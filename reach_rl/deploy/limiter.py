"""Joint targets that a robot can follow: position, speed and acceleration are bounded."""

import numpy as np

from reach_rl.deploy.bundle import Contract


class Limiter:
    """Follows wanted targets, one servo period after the other, within bounds.

    What it gives never leaves the joint range, never moves faster than the bound of speed, and
    never changes its speed by more than that of acceleration, but for the last stretch before a
    limit of the joint range, where the target simply stays.
    """

    def __init__(self, contract: Contract, dt: float, speed: float = 1.0) -> None:
        """Take the contract's bounds.

        Args:
            contract: of the bundle.
            dt: servo period (s).
            speed: share of the contract's bound of speed that is allowed.
        """
        self.low, self.high = contract.low, contract.high
        self.speed = speed * contract.target_velocity
        self.acceleration = contract.target_acceleration
        self.braking = contract.acceleration
        self.dt = dt
        self.furthest = 0.0
        """How far a bound has held a target back at most (rad)."""

    def start(self, position: np.ndarray) -> None:
        """Begin at rest at these joint angles (j,)."""
        self.target = np.clip(position, self.low, self.high)
        self.wanted = self.target
        self.velocity = np.zeros_like(self.target)

    def follow(self, wanted: np.ndarray) -> np.ndarray:
        """The targets (j,) of the next period on the way to those wanted then."""
        wanted = np.clip(wanted, self.low, self.high)
        behind = self.wanted - self.target
        # back onto the way, but no faster than it can brake on the distance left
        change = self.acceleration * self.dt
        steps = np.sqrt(0.25 + 2.0 * np.abs(behind) / (change * self.dt)) - 0.5
        back = np.minimum(np.abs(behind) / self.dt, change * steps)
        ideal = (wanted - self.wanted) / self.dt + np.sign(behind) * back
        self.wanted = wanted
        targets = self._move(ideal, self.acceleration)
        self.furthest = max(self.furthest, float(np.abs(wanted - targets).max()))
        return targets

    def brake(self) -> np.ndarray:
        """The targets (j,) of the next period on the way to rest."""
        targets = self._move(np.zeros_like(self.velocity), self.braking)
        self.wanted = targets
        return targets

    @property
    def at_rest(self) -> bool:
        """Whether the targets have stopped."""
        return not self.velocity.any()

    def _move(self, ideal: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        change = acceleration * self.dt
        velocity = np.clip(ideal, self.velocity - change, self.velocity + change)
        velocity = np.clip(velocity, -self.speed, self.speed)
        before = self.target
        self.target = np.clip(before + velocity * self.dt, self.low, self.high)
        self.velocity = (self.target - before) / self.dt
        # rounding is not motion
        self.velocity[np.abs(self.velocity) < 1e-9] = 0.0
        return self.target
