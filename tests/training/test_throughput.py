"""The search for sizes: what it tries is sound and learns as much, and it keeps its time."""

import time

import pytest

from reach_rl.config.verbs import TRAIN
from reach_rl.training.throughput import GAIN, candidates, least_steps, overrides, sizes_of, tune
from tests.small_runs import compose

SMALL = ("task.region.pool=64", "ppo.n_epochs=1", "ppo.policy_kwargs.net_arch.pi=[8]")


@pytest.mark.parametrize(
    "words",
    [
        ("ppo.batch_size=1024",),
        ("ppo=notes", "vec_env.n_envs=16"),
        ("vec_env.n_envs=6", "ppo.n_steps=32", "ppo.batch_size=48"),
        ("ppo.gamma=1", "ppo.gae_lambda=1"),
    ],
)
def test_every_size_that_is_tried_is_a_sound_configuration(words):
    config = compose(["vec_env.threads=2", *words])
    first, *others = candidates(config)
    assert first == config and others
    start, seen = sizes_of(config), [sizes_of(first)]
    for made in others:
        sizes = sizes_of(made)
        assert sizes not in seen
        seen.append(sizes)
        assert sizes["n_envs"] * sizes["n_steps"] == start["n_envs"] * start["n_steps"]
        assert start["batch_size"] / 2 <= sizes["batch_size"] <= 2 * start["batch_size"]
        assert sizes["n_steps"] >= min(start["n_steps"], least_steps(config))
        assert TRAIN.rules(made) == []
        typed = [f"{key}={value}" for key, value in overrides(sizes, config).items()]
        assert sizes_of(compose([*words, *typed])) == sizes


def test_rollouts_stay_longer_than_their_advantages_reach():
    config = compose(["ppo.gamma=0.92", "ppo.gae_lambda=0.95", "vec_env=batch_256"])
    assert least_steps(config) == 12
    assert {made.ppo.n_steps for made in candidates(config)} == {12, 24, 48, 96}


def test_tuning_measures_within_its_time():
    words = [*SMALL, "vec_env.threads=1", "vec_env.n_envs=16", "ppo.n_steps=8", "ppo.gamma=0.5"]
    config = compose([*words, "ppo.batch_size=64"])
    told = []
    begin = time.perf_counter()
    result = tune(config, 3.0, told.append)
    assert result["seconds"] <= time.perf_counter() - begin < 40.0
    assert told == result["tried"]
    assert told[0].items() >= sizes_of(config).items()
    for figures in told:
        assert figures["steps_per_second"] > 0 and 0 < figures["ratio"] < 2
    assert result["gain"] >= GAIN or result["best"] == result["default"]
    assert result["overrides"] == overrides(result["best"], config)


def test_no_measurement_begins_that_would_pass_the_end():
    config = compose([*SMALL, "vec_env.threads=1", "vec_env.n_envs=4", "ppo.batch_size=24"])
    assert len(tune(config, 0.2, lambda figures: None)["tried"]) == 1  # one there is always
