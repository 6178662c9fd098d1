"""The lean normalisation against SB3's VecNormalize."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.envs.vec_env import make_vec_env
from reach_rl.learning.normalize import Normalize, normalized


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("observation.normalize=false",),
        ("reward.normalize=false", "observation.clip=0.5"),
        ("vec_env.truncate_at_goal_change=false",),
    ],
    ids=lambda overrides: " ".join(overrides) or "default",
)
def test_numbers_are_sb3s_bit_by_bit(small, overrides):
    config = small("task.goal_period=7", "task.episode_steps=20", "task.hold_time=0.02", *overrides)
    ours = normalized(make_vec_env(config), config)
    assert type(ours) is Normalize
    stock = VecNormalize(
        make_vec_env(config),
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(ours.reset(), stock.reset())
    cuts = 0
    for _ in range(45):
        action = rng.uniform(-1, 1, (8, 6)).astype(np.float32)
        for env in (ours, stock):
            env.step_async(action)
        (*arrays, infos), (*expected, stock_infos) = ours.step_wait(), stock.step_wait()
        for found, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype
        for info, wanted in zip(infos, stock_infos, strict=True):
            assert info.keys() == wanted.keys()
            if "terminal_observation" in info:
                cuts += 1
                last = info["terminal_observation"], wanted["terminal_observation"]
                np.testing.assert_array_equal(*last)
    assert cuts > 8
    for name in ("obs_rms", "ret_rms"):
        if hasattr(stock, name):
            rms, wanted = getattr(ours, name), getattr(stock, name)
            np.testing.assert_array_equal(rms.mean, wanted.mean)
            np.testing.assert_array_equal(rms.var, wanted.var)
    np.testing.assert_array_equal(ours.returns, stock.returns)
    np.testing.assert_array_equal(ours.get_original_obs(), stock.get_original_obs())


def test_statistics_stand_still_outside_training(small):
    env = normalized(make_vec_env(small()), small())
    env.reset()
    env.training = False
    mean, returns = env.obs_rms.mean.copy(), env.returns.copy()
    env.step(np.zeros((8, 6), np.float32))
    np.testing.assert_array_equal(env.obs_rms.mean, mean)
    np.testing.assert_array_equal(env.returns, returns)
