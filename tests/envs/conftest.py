"""Small tasks that hold every observation and reward term, whatever the shipped weights are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reach_rl.config.schema import (
    Config,
    GoalChange,
    ObservationTerm,
    RandomizationConfig,
    RewardTerm,
    Start,
)
from reach_rl.extend import entries, keys_of
from tests.small_runs import compose

ASSETS = Path(__file__).parent.parent / "assets"
NOTHING = RandomizationConfig(
    servo_gain=[1.0, 1.0],
    joint_damping=[0.0, 0.0],
    joint_friction=[0.0, 0.0],
    payload=[0.0, 0.0],
    action_delay=[0, 0],
)
EVERYTHING = RandomizationConfig(
    servo_gain=[0.7, 1.3],
    joint_damping=[0.0, 0.05],
    joint_friction=[0.0, 0.03],
    payload=[0.0, 2.0],
    action_delay=[0, 2],
)
TASK: dict[str, Any] = {
    "physics_step": 0.005,
    "substeps": 4,
    "episode_steps": 40,
    "goal_change": GoalChange.TIMER,
    "goal_period": 15,
    "position_threshold": 0.02,
    "orientation_threshold": 0.1,
    "hold_time": 0.1,
    "start": Start.HOME,
    "start_noise": 0.1,
    "keypoint_offset": 0.15,
    "randomization": NOTHING,
}
LOOSE: dict[str, Any] = {
    "goal_change": GoalChange.HOLD,
    "position_threshold": 0.6,
    "orientation_threshold": 2.5,
}
"""Goals that even random motion holds."""


@pytest.fixture(scope="session")
def base() -> Config:
    """All terms, each with a weight of its own, noise on joints, 64 goals of task=front."""
    shipped = compose([])
    scaled = {"joint_velocity", "position_error", "jacobian_transpose"}
    seen = {
        name: ObservationTerm(
            scales=[0.5, 0.1] if name in scaled else None,
            noise=0.01 if name.startswith("joint_") else 0.0,
        )
        for name in entries("observation_term")
    }
    paid = {
        name: RewardTerm(
            weight=0.1 * (i + 1) * (-1) ** i,
            scales=[0.3, 0.05] if keys_of(entries("reward_term")[name]) else None,
        )
        for i, name in enumerate(entries("reward_term"))
    }
    region = replace(shipped.task.region, pool=64)
    return replace(
        shipped,
        seed=11,
        task=replace(shipped.task, region=region, **TASK),
        observation=replace(shipped.observation, terms=seen),
        reward=replace(shipped.reward, terms=paid),
        action=replace(shipped.action, kind="offset", speed=0.9, torque=0.6, curve=1.0),
    )


@pytest.fixture
def make(base: Config) -> Callable[..., Config]:
    """Factory: the base with changes of the task."""

    def config(**task: Any) -> Config:
        return replace(base, task=replace(base.task, **task))

    return config


def quiet(config: Config) -> Config:
    """The same without sensor noise."""
    terms = {
        name: None if term is None else replace(term, noise=0.0)
        for name, term in config.observation.terms.items()
    }
    return seeing(config, **terms)


def seeing(config: Config, **terms: ObservationTerm | None) -> Config:
    """The same with some terms of the observation changed."""
    terms = {**config.observation.terms, **terms}
    return replace(config, observation=replace(config.observation, terms=terms))
