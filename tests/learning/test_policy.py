"""A policy answers as SB3's does, with its own normalisation."""

import numpy as np
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from reach_rl.envs.vec_env import make_vec_env
from reach_rl.learning.policy import Policy, bare_network


def made(small):
    torch.manual_seed(1)
    network = bare_network(small(), 5, 6)
    return Policy(network, np.full(5, 2.0), np.full(5, 9.0), 10.0)


def test_predict_takes_one_observation_or_many(small):
    policy = made(small)
    many = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    actions, state = policy.predict(many)
    assert state is None
    np.testing.assert_array_equal(actions, policy(many))
    one, _ = policy.predict(many[1])
    assert one.shape == (6,)
    np.testing.assert_allclose(one, actions[1], rtol=1e-5)


def test_a_sample_is_drawn_where_it_is_asked_for(small):
    policy, seen = made(small), np.zeros((1, 5), np.float32)
    assert (policy.predict(seen)[0] == policy.predict(seen, deterministic=True)[0]).all()
    torch.manual_seed(0)
    assert (policy.predict(seen, deterministic=False)[0] != policy.predict(seen)[0]).any()


def test_sb3_evaluates_it(small):
    """Its helper asks by keyword, with episode starts and states."""
    config = small(
        "task.episode_steps=40",
        "task.hold_time=0.1",
        "vec_env.stagger=false",
        "vec_env.truncate_at_goal_change=false",
    )
    env = make_vec_env(config)
    size = env.observation_space.shape[0]
    policy = Policy(bare_network(config, size, 6), None, None, np.inf)
    returns, lengths = evaluate_policy(policy, env, 16, return_episode_rewards=True)
    assert len(returns) == 16 and np.isfinite(returns).all()
    assert set(lengths) == {40}


def test_without_normalisation_the_normalizer_changes_nothing(small):
    seen = torch.randn(3, 5) * 100
    policy = Policy(bare_network(small(), 5, 6), None, None, 10.0)
    assert (policy.normalizer(seen) == seen).all()
    np.testing.assert_array_equal(policy.normalize(seen.numpy()), seen.numpy())
