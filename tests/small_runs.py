"""Runs small enough to be trained within a test."""

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reach_rl import cli
from reach_rl.config import load
from reach_rl.config.composition import Composed, Composer
from reach_rl.config.schema import Config
from reach_rl.config.verbs import VERBS

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


@cache
def _composer(config_name: str) -> Composer:
    return Composer(config_name)


@cache
def _composed(config_name: str, choices: tuple[str, ...]) -> Composed:
    return _composer(config_name).compose(choices)


def compose(
    overrides: Sequence[str] = (), config_name: str = "train", config_dir: Path | None = None
) -> Any:
    """As reach_rl.config.load.compose, in a tenth of the time.

    Hydra reads the files of conf/ once for each choice of options. What is not found right goes
    the usual way; tests/config and the commands compose as users do.
    """
    choices = [o for o in overrides if o.partition("=")[0] in _composer(config_name).groups]
    values = [o for o in overrides if o not in choices]
    if config_dir is None and all(re.match(r"[\w.]+=", value) for value in values):
        composed = _composed(config_name, tuple(choices)).change(values)
        config, problems = load.judge(composed, VERBS[config_name])
        if not problems:
            return config
    return load.compose(overrides, config_name, config_dir)


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
