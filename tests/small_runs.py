"""Runs small enough to be trained within a test."""

from collections.abc import Callable, Sequence

import pytest

from reach_rl.config.load import compose
from reach_rl.config.schema import Config

SMALL = (
    "vec_env.n_envs=8",
    "vec_env.threads=1",
    "ppo.n_steps=32",
    "ppo.batch_size=64",
    "ppo.n_epochs=2",
    "ppo.policy_kwargs.net_arch.pi=[16,16]",
    "ppo.policy_kwargs.net_arch.vf=[16,16]",
    "total_timesteps=1024",
    "task.region.pool=64",
    "evaluation.goals=4",
    "evaluation.periodic_goals=4",
    "evaluation.every=0",
    "evaluation.also=[]",
    "checkpoint.every=0",
    "wandb=disabled",
    "picture=false",
    "progress=false",
)


@pytest.fixture(scope="session")
def small() -> Callable[..., Config]:
    """Composes a small run with overrides of the test."""

    def make(*overrides: str, base: Sequence[str] = SMALL) -> Config:
        return compose([*base, *overrides])

    return make
