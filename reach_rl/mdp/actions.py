"""What an action means: actions in [-1, 1] to joint targets.

A control period has several physics steps; the targets move through them in a straight ramp, as a
robot's controller interpolates, so that no joint is asked for a jump of its speed.
"""

from dataclasses import dataclass

import numpy as np

from reach_rl.config.schema import ActionConfig
from reach_rl.extend import action_kind, entries
from reach_rl.mdp.arrays import Array, clipped
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import Arm, State
from reach_rl.mdp.terms import TermError, told


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast the joint targets may move; (j,) each."""

    speed: Array
    """Joint speed at full action (rad/s)."""
    change: Array
    """Largest change of the joint speed in one control period (rad/s)."""
    lag: Array
    """Time constant of the servos (s)."""
    period: float
    """Time between two actions (s)."""
    ramp: Array
    """(s, 1, 1) fraction of the control period that has passed at the end of each physics step."""
    of_speed: Array
    """(s, j) how far ahead of the joint a target is, per speed that the period begins with; see
    offset (s)."""
    of_change: Array
    """(s, j) and per change of the speed within the period (s)."""
    low: Array
    """Least joint target (rad)."""
    high: Array
    """Greatest joint target (rad)."""

    @classmethod
    def of(cls, config: ActionConfig, arm: Arm, substeps: int) -> "Limits":
        """The limits of an arm."""
        ramp = np.arange(1, substeps + 1)[:, None, None] / substeps
        passed = (ramp - ramp[:1]) * arm.control_period
        return cls(
            speed=config.speed * arm.velocity_limits,
            change=config.torque * arm.acceleration_limits * arm.control_period,
            lag=arm.servo_lag,
            period=arm.control_period,
            ramp=ramp,
            of_speed=(passed + arm.servo_lag)[:, 0],
            of_change=(0.5 * passed * (ramp - ramp[:1]) + arm.servo_lag * ramp)[:, 0],
            low=arm.low,
            high=arm.high,
        )


@action_kind
def offset(limits: Limits, action: Array, state: State, target: Array) -> Array:
    """target(t) = q + integral of v + T v(t), v(t) from dq/dt to a * speed in a ramp.

    A position servo of lag T = kv / kp settles at the speed (target - q) / T, so that an action is
    a joint speed as a fraction of the limit. The change of speed is limited: a servo at its torque
    limit does not brake in time. The targets follow from what is measured; nothing is remembered
    from one action to the next. The servo acts on the joint angle at the start of a physics step:
    time within the period counts from the end of the first one.
    """
    position = state.joint_position
    targets = np.empty((len(limits.ramp), *position.shape))
    _ramped.on(limits, action, position, state.joint_velocity, targets)
    return targets


@offset.onnx
def _(limits: Limits, action: Array, state: State, target: Array) -> Array:
    before = clipped(state.joint_velocity, -limits.speed, limits.speed)
    change = clipped(action * limits.speed - before, -limits.change, limits.change)
    passed = limits.ramp - limits.ramp[:1]
    gone = (before + change * (0.5 * passed)) * (passed * limits.period)
    return state.joint_position + gone + (before + change * limits.ramp) * limits.lag


@compiled(
    "void(f8[:], f8[:], f8[:,:], f8[:,:], f8[:], f8[:], f8[:,:], f8[:,:], f8[:,:], f8[:,:,:])"
)
def _ramped(
    speed: Array,
    change: Array,
    of_speed: Array,
    of_change: Array,
    low: Array,
    high: Array,
    action: Array,
    position: Array,
    velocity: Array,
    targets: Array,
) -> None:
    for i in range(len(position)):
        for k in range(len(speed)):
            before = min(max(velocity[i, k], -speed[k]), speed[k])
            asked = min(max(action[i, k], -1.0), 1.0) * speed[k] - before
            asked = min(max(asked, -change[k]), change[k])
            for t in range(len(targets)):
                ahead = of_speed[t, k] * before + of_change[t, k] * asked
                targets[t, i, k] = min(max(position[i, k] + ahead, low[k]), high[k])


@action_kind
def increment(limits: Limits, action: Array, state: State, target: Array) -> Array:
    """target(t) = target_before + a * speed * t."""
    moved = target + limits.ramp * limits.period * limits.speed * clipped(action, -1.0, 1.0)
    return clipped(moved, limits.low, limits.high)


class Action:
    """The configured action."""

    def __init__(self, config: ActionConfig, arm: Arm, substeps: int) -> None:
        """Look up the kind and derive its limits from the arm's."""
        self.arm, self.name = arm, config.kind
        self.kind = entries("action_kind")[config.kind]
        self.size: int = getattr(self.kind, "size", None) or len(arm.home)
        """Numbers of an action."""
        self.curve = config.curve
        self.limits = Limits.of(config, arm, substeps)

    def __call__(self, action: Array, state: State, target: Array) -> Array:
        """Joint targets (s, n, j) of each physics step, inside the joint limits (rad).

        Args:
            action: (n, size), clipped to [-1, 1].
            state: of the n environments before the step.
            target: (n, j) the targets before (rad).

        Raises:
            TermError: an action kind raises, or gives another shape.
        """
        action = np.asarray(action, np.float64)
        if self.curve != 1.0:
            action = np.copysign(np.abs(action) ** self.curve, action)
        try:
            targets = self.kind(self.limits, action, state, target)
            if targets.shape != (len(self.limits.ramp), *target.shape):
                raise ValueError(f"gave {targets.shape}, not (substeps, n, j)")
        except Exception as error:
            raise TermError(told(f"action.kind={self.name}", error)) from error
        return targets
