"""Runs small enough to be trained within a test."""

import sys
from collections.abc import Callable, Sequence

import pytest

from reach_rl import cli
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


def command(*words: str) -> None:
    """`reach-rl` with these words, within this process; it has to end well."""
    before = sys.argv
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
    finally:
        sys.argv = before
    assert not ended.value.code, words
