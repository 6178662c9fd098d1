"""How much an arm may differ from the one in simulation: success against one change at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config, ObservationConfig, RandomizationConfig
from reach_rl.evaluation.protocol import Driver, Policy, evaluate
from reach_rl.evaluation.result import COMPARED
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel, load_robot

NOISE = {
    "joint_position": 0.002,
    "joint_angle": 0.002,
    "joint_velocity": 0.02,
    "tool_position": 0.002,
    "tool_quaternion": 0.005,
    "position_error": 0.002,
    "goal_direction": 0.005,
    "orientation_error": 0.01,
    "jacobian_transpose": 0.005,
    "damped_least_squares": 0.005,
    "joint_error": 0.002,
}
"""Observation term -> half-width of its noise at level 1, that of experiment=sim2real."""

INDUSTRIAL = 0.03
"""Time constant of an industrial arm's servos, about (s)."""

NOMINAL = RandomizationConfig(
    servo_gain=[1.0, 1.0],
    joint_damping=[0.0, 0.0],
    joint_friction=[0.0, 0.0],
    payload=[0.0, 0.0],
    action_delay=[0, 0],
)


class Changed(NamedTuple):
    """An arm and task with one thing changed."""

    config: Config
    robot: RobotModel

    def task(self, **keys: Any) -> "Changed":  # noqa: ANN401  keys of the task
        """The same with some keys of the task otherwise."""
        task = replace(self.config.task, **keys)
        return Changed(replace(self.config, task=task), self.robot)


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that may differ."""

    name: str
    title: str
    unit: str
    nominal: float
    values: tuple[float, ...]
    """Nominal among them."""
    change: Callable[[Changed, float], Changed]


def factors(config: Config, robot: RobotModel, payload: float | None = None) -> list[Factor]:
    """What is swept.

    Args:
        config: the run, at nominal.
        robot: its arm.
        payload: heaviest load of the sweep (kg); 5 where the arm's is unknown.
    """
    payload = 5.0 if payload is None else payload
    loads = tuple(np.linspace(0.0, payload, 5).round(6).tolist())
    lag = round(float(np.mean(robot.servo_lag)), 6)
    rate = round(1.0 / config.task.control_period, 6)
    per_step = 1.0 / config.task.physics_step
    substeps = sorted({1, 2, 3, 4, 6, 8, 10, config.task.substeps}, reverse=True)
    rates = tuple(round(per_step / s, 6) for s in substeps if 10.0 <= per_step / s <= 125.0)
    friction, delay = _ranges("joint_friction"), _ranges("action_delay", int)
    found = [
        Factor("payload", "payload", "kg", 0.0, loads, _ranges("payload")),
        Factor("servo_gain", "servo gain", "of nominal", 1.0, _GAINS, _ranges("servo_gain")),
        Factor("servo_lag", "servo lag", "s", lag, _lags(config, lag), _servo_lag),
        Factor("joint_friction", "joint friction", "of torque limit", 0.0, _FRICTION, friction),
        Factor("sensor_noise", "sensor noise", "x sim2real", 0.0, _NOISES, _noise),
        Factor("action_delay", "action delay", "control periods", 0.0, _DELAYS, delay),
        Factor("control_rate", "control rate", "Hz", rate, rates, _control_rate),
    ]
    limited = bool(np.isfinite(robot.torque_limits).all())  # friction is a share of them
    return [factor for factor in found if limited or factor.name != "joint_friction"]


_GAINS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_FRICTION = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
_NOISES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
_DELAYS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def nominal(config: Config) -> Config:
    """The run without noise, delay or arms that differ, whatever it was trained with."""
    task = replace(config.task, randomization=NOMINAL)
    return replace(config, task=task, observation=_noisy(config.observation, 0.0))


def sweep(
    driver: Driver | Policy,
    config: Config,
    robot: RobotModel,
    goals: Goals,
    factors: Sequence[Factor],
    *,
    threads: int,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Judge a driver with one thing changed at a time; plain JSON values.

    Args:
        driver: what is judged.
        config: the run.
        robot: its arm.
        goals: judged on at each point.
        factors: what is swept.
        threads: physics threads.
        seed: of starts and noise.
        progress: told the environment steps done (at nominal rate) and the success of the point.

    Returns:
        name -> {title, unit, nominal, points: [{value, success_rate, success_ci95,
        position_error_mm, ...}]}
    """
    base = Changed(nominal(config), robot)
    found: dict[str, Any] = {}
    done, steps = 0, len(goals) * config.task.episode_steps
    for factor in factors:
        points = []
        for value in factor.values:
            there = base if value == factor.nominal else factor.change(base, value)
            figures = evaluate(
                driver, there.config, goals, threads=threads, robot=there.robot, seed=seed,
                physics_records=False,
            ).figures()  # fmt: skip
            points.append({"value": value} | {k: figures[k] for k in ("goals", *COMPARED)})
            done += steps
            if progress is not None:
                progress(done, figures["success_rate"])
        about = {key: getattr(factor, key) for key in ("title", "unit", "nominal")}
        found[factor.name] = about | {"points": points}
    return found


def _lags(config: Config, nominal: float) -> tuple[float, ...]:
    """From an industrial servo's to twice nominal, as far as the joints' own damping allows."""
    wanted = {INDUSTRIAL, *(round(nominal * share, 6) for share in _GAINS)}
    found = []
    for lag in sorted(wanted):
        try:
            if lag != nominal:
                load_robot(replace(config.robot, servo_lag=lag), config.task.physics_step)
            found.append(lag)
        except ConfigError:
            continue
    return tuple(found)


def _ranges(name: str, kind: type = float) -> Callable[[Changed, float], Changed]:
    """A key of task.randomization at one value."""

    def change(base: Changed, value: float) -> Changed:
        ranges = replace(base.config.task.randomization, **{name: [kind(value)] * 2})
        return base.task(randomization=ranges)

    return change


def _noise(base: Changed, value: float) -> Changed:
    observation = _noisy(base.config.observation, value)
    return base._replace(config=replace(base.config, observation=observation))


def _noisy(observation: ObservationConfig, level: float) -> ObservationConfig:
    terms = {
        name: None if term is None else replace(term, noise=level * NOISE.get(name, 0.0))
        for name, term in observation.terms.items()
    }
    return replace(observation, terms=terms)


def _servo_lag(base: Changed, value: float) -> Changed:
    """Stiffer or softer servos, of which the action knows nothing."""
    task = base.config.task
    there = load_robot(replace(base.config.robot, servo_lag=value), task.physics_step)
    return base._replace(robot=replace(there, servo_lag=base.robot.servo_lag))


def _control_rate(base: Changed, value: float) -> Changed:
    """Another number of physics steps between two actions; episodes last as long as before."""
    task = base.config.task
    substeps = max(1, round(1.0 / (value * task.physics_step)))
    steps = max(1, round(task.episode_steps * task.substeps / substeps))
    return base.task(substeps=substeps, episode_steps=steps)


def some(goals: Goals, count: int) -> Goals:
    """As many goals, spread evenly over all of them, which lie sorted by distance from home."""
    if count >= len(goals):
        return goals
    rows = np.linspace(0, len(goals) - 1, count).round().astype(int)
    arrays = {f.name: getattr(goals, f.name) for f in fields(goals) if f.name != "kept"}
    chosen = {name: array[rows] for name, array in arrays.items() if array is not None}
    return replace(goals, **chosen)


def weak_spots(found: Mapping[str, Any], drop: float = 0.05) -> list[str]:
    """A sentence for each factor whose success falls by more than `drop` below nominal."""
    sentences = []
    for factor in found.values():
        at = {point["value"]: point["success_rate"] for point in factor["points"]}
        usual = at[factor["nominal"]]
        weak = [f"{value:g} ({rate:.0%})" for value, rate in at.items() if rate < usual - drop]
        if weak:
            sentences.append(f"{factor['title']}: success falls at {', '.join(weak)}")
    return sentences
