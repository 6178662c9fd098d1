"""The reference controller: a bundle's policy at its rate, its targets at the servo's.

One thread, one loop at the rate of the servo. Every control period it reads the joints, asks the
policy and gets a path of joint targets; every servo period it goes on along that path, within the
bounds of speed and acceleration, and writes. What is not as it should be (see Stop) ends in a
decelerating stop, which needs no input any more; to go on takes another call of run.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from reach_rl.deploy.bundle import Bundle
from reach_rl.deploy.limiter import Limiter


@dataclass(frozen=True, slots=True)
class JointState:
    """Measured joints."""

    position: np.ndarray
    """(j,) rad, in the order of the contract."""
    velocity: np.ndarray
    """(j,) rad/s."""
    time: float
    """When it was measured, on the controller's clock (s)."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A tool pose in the base frame of the contract."""

    position: np.ndarray
    """(3,) m."""
    quaternion: np.ndarray
    """(4,) w, x, y, z."""


class Robot(Protocol):
    """What the controller needs of a robot."""

    def read(self) -> JointState:
        """The newest measured state; must not wait for the next."""
        ...

    def write(self, target: np.ndarray) -> None:
        """Give the servos their targets (j,) rad for the next servo period."""
        ...


class Clock:
    """The computer's own time; another one is simulated."""

    def now(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep_until(self, then: float) -> float:
        """Wait; returns the time afterwards, which is `then` or later."""
        time.sleep(max(0.0, then - self.now()))
        return self.now()


class Stop(Enum):
    """Why a run ended."""

    REACHED = "the goal is reached and held"
    TIME = "the time is over"
    ASKED = "somebody asked to stop"
    STALE = "the joint state is too old"
    LATE = "the loop was too late"
    BAD_STATE = "the joint state is not a number or of the wrong size"
    OUT_OF_RANGE = "a joint is outside its range"
    TOO_FAST = "a joint is faster than its limit"
    BAD_GOAL = "the goal is not a pose"
    BAD_TARGET = "the policy gave no number"
    READ_FAILED = "the joint state could not be read"
    WRITE_FAILED = "the targets could not be written"

    @property
    def fault(self) -> bool:
        """Whether something went wrong."""
        return self not in (Stop.REACHED, Stop.TIME, Stop.ASKED)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the controller runs; nothing here loosens the contract's limits."""

    servo_rate: float = 500.0
    """Targets per second that are written (Hz)."""
    speed: float = 1.0
    """Share of the policy's joint speeds, above 0 and at most 1; small for a first try."""
    max_age: float = 0.04
    """Oldest joint state that is acted on (s)."""
    max_lateness: float = 0.01
    """How late a servo period may begin (s)."""
    range_margin: float = 0.02
    """How far a measured joint may be outside its range (rad)."""
    speed_margin: float = 1.2
    """How fast a measured joint may be, of its limit."""
    hold_after_stop: float = 0.2
    """How long the last targets are still written after a stop (s)."""


@dataclass(slots=True)
class Report:
    """How a run went."""

    stop: Stop = Stop.TIME
    detail: str = ""
    time: float = 0.0
    """From the start to the decision to stop (s)."""
    position_error: float = math.nan
    """Of the tool at the last look, NaN without one (m)."""
    orientation_error: float = math.nan
    """Of the tool at the last look, NaN without one (rad)."""
    control_periods: int = 0
    servo_periods: int = 0
    furthest_behind: float = 0.0
    """How far a bound of speed or acceleration has held a target back at most (rad)."""
    worst_lateness: float = 0.0
    """Of a servo period (s)."""

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.stop.value}{': ' if self.detail else ''}{self.detail} after {self.time:.2f} s, "
            f"{1e3 * self.position_error:.1f} mm and "
            f"{math.degrees(self.orientation_error):.2f} deg from the goal"
        )


class Halt(Exception):
    """Something that ends a run."""

    def __init__(self, stop: Stop, detail: str = "") -> None:
        """Say why."""
        super().__init__(stop, detail)
        self.stop, self.detail = stop, detail


class Controller:
    """Runs a bundle on a robot."""

    def __init__(
        self,
        bundle: Bundle,
        robot: Robot,
        settings: Settings | None = None,
        clock: Clock | None = None,
        observe: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None,
    ) -> None:
        """Prepare; nothing moves before run().

        Args:
            bundle: the policy.
            robot: what it moves.
            settings: how.
            clock: the computer's own by default.
            observe: of a bundle that takes the observation: gives it, (d,), of the other inputs.

        Raises:
            ValueError: the servo rate is not a multiple of the control rate, the speed is not
                above 0 and at most 1, or nothing gives the observation that the bundle takes.
        """
        self.bundle, self.robot = bundle, robot
        self.settings = settings or Settings()
        self.clock = clock or Clock()
        contract = bundle.contract
        self.dt = 1.0 / self.settings.servo_rate
        self.per_control = round(contract.period / self.dt)
        if abs(self.per_control * self.dt - contract.period) > 1e-9:
            raise ValueError(
                f"servo_rate: {self.settings.servo_rate:g} Hz is no multiple of the policy's "
                f"{1 / contract.period:g} Hz"
            )
        if not 0.0 < self.settings.speed <= 1.0:
            raise ValueError(f"speed: {self.settings.speed:g} is not above 0 and at most 1")
        if contract.observation and observe is None:
            parts = ", ".join(contract.observation)
            raise ValueError(f"observe: the bundle takes the observation ({parts}); give it")
        self._observe = observe
        self.hold_periods = 1 + math.ceil(contract.hold_time / contract.period - 1e-9)

    def run(
        self,
        goal: Goal | Callable[[], Goal],
        seconds: float,
        *,
        until_reached: bool = True,
        asked: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Bring the tool to the goal; returns after the arm was told to stand still.

        Args:
            goal: the goal, or a function that gives the present one.
            seconds: the longest that this may take (s).
            until_reached: stop once the goal is held; otherwise stay with it.
            asked: asked every control period whether to stop.
        """
        self._goal = goal if callable(goal) else lambda: goal
        self._begin = self._due = self.clock.now()
        self._limiter = Limiter(self.bundle.contract, self.dt, self.settings.speed)
        self._held, self._report = 0, Report()
        try:
            state = self._read()
            self._limiter.start(state.position)
            self._memory = self.bundle.first_state(state.position)
        except Halt as halt:
            return self._told(halt)
        try:
            while True:
                self._control(seconds, until_reached, asked)
        except Halt as halt:
            self._report.time = self.clock.now() - self._begin
            return self._told(self._come_to_rest(halt))

    def _told(self, halt: Halt) -> Report:
        report = self._report
        report.stop, report.detail = halt.stop, halt.detail
        report.furthest_behind = self._limiter.furthest
        return report

    def _control(self, seconds: float, until_reached: bool, asked: Callable[[], bool]) -> None:
        """One control period: look, think, and move along the path."""
        if asked():
            raise Halt(Stop.ASKED)
        if self.clock.now() - self._begin >= seconds:
            raise Halt(Stop.TIME)
        path = self._think(self._read())
        if until_reached and self._held >= self.hold_periods:
            raise Halt(Stop.REACHED)
        times = np.concatenate(([0.0], self.bundle.contract.path_times))
        knots = np.vstack((self._limiter.wanted, path))
        for period in range(1, self.per_control + 1):
            wanted = _between(times, knots, period * self.dt)
            self._write(self._limiter.follow(wanted))
        if "last_target" in self._memory:  # what was written counts, not what was wanted
            self._memory["last_target"] = self._limiter.target
        self._report.control_periods += 1

    def _think(self, state: JointState) -> np.ndarray:
        """The policy's path (s, j) from this state on."""
        contract, goal = self.bundle.contract, self._checked_goal()
        inputs = {
            "joint_position": state.position,
            "joint_velocity": state.velocity,
            "goal_position": goal.position,
            "goal_quaternion": goal.quaternion,
            "self_contact": np.zeros(1),
            **self._memory,
        }
        if self._observe is not None:
            inputs["observation"] = self._observe(inputs)
        out = self.bundle({name: np.asarray(value)[None] for name, value in inputs.items()})
        path = out["joint_path"][0]
        if not np.isfinite(path).all():
            raise Halt(Stop.BAD_TARGET)
        # targets set out from the measured angles, or from the targets before
        origin = self._memory.get("last_target", state.position)
        path = origin + self.settings.speed * (path - origin)
        self._memory = {name: out[source][0] for name, source in contract.state.items()}
        errors = float(out["position_error"][0]), float(out["orientation_error"][0])
        self._report.position_error, self._report.orientation_error = errors
        bounds = contract.position_threshold, contract.orientation_threshold
        inside = all(error < bound for error, bound in zip(errors, bounds, strict=True))
        self._held = self._held + 1 if inside else 0
        return path

    def _read(self) -> JointState:
        """The joint state, if it is fit to act on."""
        contract, settings = self.bundle.contract, self.settings
        try:
            state = self.robot.read()
        except Exception as error:
            raise Halt(Stop.READ_FAILED, str(error)) from error
        position, velocity = np.asarray(state.position, float), np.asarray(state.velocity, float)
        size = (len(contract.joints),)
        sound = position.shape == velocity.shape == size and math.isfinite(state.time)
        if not sound or not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            raise Halt(Stop.BAD_STATE)
        age = self.clock.now() - state.time
        if age > settings.max_age:
            raise Halt(Stop.STALE, f"{1e3 * age:.0f} ms")
        margin = settings.range_margin
        outside = (position < contract.low - margin) | (position > contract.high + margin)
        if outside.any():
            raise Halt(Stop.OUT_OF_RANGE, contract.joints[int(np.argmax(outside))])
        fast = np.abs(velocity) > settings.speed_margin * contract.velocity
        if fast.any():
            raise Halt(Stop.TOO_FAST, contract.joints[int(np.argmax(fast))])
        return JointState(position, velocity, state.time)

    def _checked_goal(self) -> Goal:
        goal = self._goal()
        position, quaternion = np.asarray(goal.position, float), np.asarray(goal.quaternion, float)
        sizes = position.shape == (3,) and quaternion.shape == (4,)
        if not sizes or not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
            raise Halt(Stop.BAD_GOAL)
        if abs(float(np.linalg.norm(quaternion)) - 1.0) > 0.01:
            raise Halt(Stop.BAD_GOAL, "its quaternion is not of length 1")
        return Goal(position, quaternion)

    def _write(self, target: np.ndarray) -> None:
        """Write at the beginning of the next servo period."""
        now = self.clock.sleep_until(self._due)
        lateness = now - self._due
        self._report.worst_lateness = max(self._report.worst_lateness, lateness)
        self._send(target)
        self._schedule(now)
        if lateness > self.settings.max_lateness:
            raise Halt(Stop.LATE, f"{1e3 * lateness:.0f} ms")

    def _schedule(self, now: float) -> None:
        """When the next servo period begins; time lost is never made up for by haste."""
        self._due += self.dt
        if self._due < now + 0.5 * self.dt:
            self._due = now + self.dt

    def _send(self, target: np.ndarray) -> None:
        try:
            self.robot.write(target)
        except Exception as error:
            raise Halt(Stop.WRITE_FAILED, str(error)) from error
        self._report.servo_periods += 1

    def _come_to_rest(self, halt: Halt) -> Halt:
        """Brake, then hold; no input is looked at any more."""
        if halt.stop is Stop.WRITE_FAILED:
            return halt
        left = math.ceil(self.settings.hold_after_stop / self.dt)
        try:
            while left > 0:
                left -= int(self._limiter.at_rest)
                now = self.clock.sleep_until(self._due)
                self._send(self._limiter.brake())
                self._schedule(now)
        except Halt as worse:
            return worse
        return halt


def _between(times: np.ndarray, knots: np.ndarray, time_: float) -> np.ndarray:
    """Linear interpolation of the knots (s + 1, j) at one time."""
    return np.array([np.interp(time_, times, joint) for joint in knots.T])
