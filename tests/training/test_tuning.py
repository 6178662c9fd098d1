"""The search for sizes: it finds what is faster, stays within its bounds, and keeps its time."""

import time
from dataclasses import replace

import pytest

from reach_rl.config.load import compose
from reach_rl.config.validate import rules
from reach_rl.training.tuning import GAIN, Bounds, Sizes, Trial, Tuner, climb, tune

SMALL = ("task.region.pool=64", "ppo.n_epochs=1", "ppo.policy_kwargs.net_arch.pi=[8]")
START = Sizes(512, 12, 1024, 2, 1)


def bounds(*overrides: str, cores: int = 2) -> Bounds:
    return Bounds(compose(["vec_env.threads=2", *overrides]), cores)


def reachable(limits: Bounds) -> set[Sizes]:
    found, todo = {limits.start}, [limits.start]
    while todo:
        sizes = todo.pop()
        for name in ("n_envs", "batch_size", "threads", "torch_threads"):
            for up in (True, False):
                moved = limits.step(sizes, name, up)
                if moved is not None and moved not in found:
                    found.add(moved)
                    todo.append(moved)
    return found


@pytest.mark.parametrize(
    "overrides",
    [
        ("ppo.batch_size=1024",),
        ("ppo=notes", "vec_env.n_envs=16"),
        ("vec_env.n_envs=6", "ppo.n_steps=32", "ppo.batch_size=48"),
        ("ppo.gamma=1", "ppo.gae_lambda=1"),
    ],
)
def test_every_size_in_reach_is_a_sound_configuration(overrides):
    config = compose(["vec_env.threads=2", *overrides])
    limits = Bounds(config, 2)
    start = limits.start
    every = reachable(limits)
    assert len(every) > 1
    for sizes in every:
        assert sizes.n_envs * sizes.n_steps == start.n_envs * start.n_steps
        assert start.batch_size / 2 <= sizes.batch_size <= 2 * start.batch_size
        assert sizes.n_steps >= min(start.n_steps, limits.least_steps)
        assert 1 <= sizes.threads <= 2 and 1 <= sizes.torch_threads <= 2
        made = sizes.within(config)
        assert rules(made) == []
        assert Sizes.of(made) == sizes
    farthest = max(every, key=lambda sizes: (sizes.n_envs, sizes.batch_size))
    keys = farthest.overrides(config)
    typed = compose([*overrides, *(f"{key}={value}" for key, value in keys.items())])
    assert Sizes.of(typed) == farthest


def test_rollouts_stay_longer_than_their_advantages_reach():
    limits = bounds("ppo.gamma=0.92", "ppo.gae_lambda=0.95", "vec_env=batch_256")
    assert limits.least_steps == 12
    longer = replace(limits.start, n_envs=512, n_steps=12)
    assert limits.step(limits.start, "n_envs", True) == longer
    assert limits.step(longer, "n_envs", True) is None


def test_a_climb_finds_the_summit_and_is_not_led_by_noise():
    limits = bounds("ppo.batch_size=1024")
    summit = replace(limits.start, n_envs=64, n_steps=96, batch_size=2048, threads=1)
    seen = []

    def speed(sizes):
        seen.append(sizes)
        same = (sizes.n_envs == summit.n_envs, sizes.threads == summit.threads)
        near = abs(sizes.n_envs.bit_length() - summit.n_envs.bit_length())
        return 100 - 10 * near + 10 * (sizes.batch_size == summit.batch_size) + 10 * same[1]

    assert climb(limits.start, limits.step, speed) == summit
    assert len(seen) == len(set(seen))
    assert climb(limits.start, limits.step, lambda s: 1.0 + (GAIN - 1.001) * (s.threads == 1)) == (
        limits.start
    )


def test_a_climb_without_time_stays_where_it_is():
    limits = bounds()
    calls = iter([1.0])
    assert climb(limits.start, limits.step, lambda _: next(calls, None)) == limits.start


def test_tuning_measures_within_its_time():
    words = [*SMALL, "vec_env.threads=1", "vec_env.n_envs=16", "ppo.n_steps=8", "ppo.gamma=0.5"]
    config = compose([*words, "ppo.batch_size=64"])
    told: list[Trial] = []
    begin = time.perf_counter()
    result = tune(config, 3.0, told.append)
    assert result["seconds"] <= time.perf_counter() - begin < 40.0
    assert [trial.figures() for trial in told] == result["tried"]
    assert told[0].sizes == Sizes.of(config)
    for trial in told:
        assert trial.steps_per_second > 0 and 0 < trial.ratio < 2
    assert result["gain"] >= GAIN or result["best"] == result["default"]
    best = Sizes(**{k: v for k, v in result["best"].items() if k in Sizes.__dataclass_fields__})
    assert result["overrides"] == best.overrides(config)


def test_no_measurement_begins_that_would_pass_the_end():
    config = compose([*SMALL, "vec_env.threads=1", "vec_env.n_envs=4", "ppo.batch_size=24"])
    tuner = Tuner(config, 0.2)
    assert tuner.speed(Sizes.of(config)) is not None  # one there is always
    assert tuner.speed(Sizes.of(config)) is None
    assert len(tuner.tried) == 1
