"""The lean path against SB3's own code, on the same environments and seeds."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from reach_rl.config.schema import PPOConfig, ScheduleKind
from reach_rl.envs.vec_env import make_vec_env
from reach_rl.learning import build
from reach_rl.learning.normalize import normalized
from reach_rl.learning.ppo import FastPPO

CUTS = ("task.goal_period=13", "task.episode_steps=40", "task.hold_time=0.02")


def trained(config, iterations, after=lambda model: None):
    """A model after some rollouts and updates, with what each update logged."""
    env = normalized(make_vec_env(config), config)
    model = build.make_model(config, env)
    _, callback = model._setup_learn(config.total_timesteps)
    logs = []
    for _ in range(iterations):
        model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, config.total_timesteps)
        after(model)
        model.train()
        logs.append({k: v for k, v in model.logger.name_to_value.items() if "train/" in k})
        model.logger.name_to_value.clear()
    env.close()
    return model, logs


def parameters(model):
    return {k: v.numpy() for k, v in model.policy.state_dict().items()}


@pytest.mark.parametrize("kind", ["batch", "dummy"])
def test_without_the_lean_path_it_is_sb3s_ppo_bit_by_bit(small, monkeypatch, kind):
    config = small("ppo.fast=false", f"vec_env.kind={kind}", *CUTS)
    ours, logs = trained(config, 3)
    assert type(ours) is FastPPO
    monkeypatch.setattr(build, "FastPPO", PPO)
    stock, stock_logs = trained(config, 3)
    assert type(stock) is PPO
    for name, value in parameters(stock).items():
        np.testing.assert_array_equal(parameters(ours)[name], value, err_msg=name)
    assert logs == stock_logs


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("ppo.clip_range_vf=0.1",),
        ("ppo.target_kl=0.002", "ppo.learning_rate=3e-3"),
        ("ppo.ent_coef=0.01", "ppo.normalize_advantage=false"),
        ("ppo.clip_range_schedule.kind=linear", "ppo.clip_range_schedule.end=0.1"),
        ("vec_env.kind=dummy", "ppo.policy_kwargs.activation_fn=elu"),
        ("ppo.policy_kwargs.activation_fn=relu", "ppo.policy_kwargs.net_arch.pi=[]"),
        ("ppo.policy_kwargs.activation_fn=leaky_relu", "ppo.policy_kwargs.net_arch.vf=[32,16,8]"),
    ],
    ids=lambda overrides: " ".join(overrides) or "default",
)
def test_the_lean_path_computes_what_sb3_computes(small, overrides):
    config = small(*CUTS, *overrides)
    lean, lean_logs = trained(config, 4)
    slow, slow_logs = trained(small(*CUTS, *overrides, "ppo.fast=false"), 4)
    assert lean.lean and not slow.lean
    for name, value in parameters(slow).items():
        np.testing.assert_allclose(parameters(lean)[name], value, atol=2e-5, err_msg=name)
    for fast, stock in zip(lean_logs, slow_logs, strict=True):
        assert set(stock) <= set(fast)
        for name, value in stock.items():
            assert fast[name] == pytest.approx(value, rel=2e-3, abs=2e-4), name
    assert lean._n_updates == slow._n_updates
    flat = lean.rollout_buffer.swap_and_flatten(lean.rollout_buffer.advantages)
    np.testing.assert_allclose(flat, slow.rollout_buffer.advantages, atol=1e-3)


def test_a_large_kl_divergence_ends_the_update_early(small):
    config = small("ppo.target_kl=1e-5", "ppo.n_epochs=8", "ppo.learning_rate=1e-2")
    model, logs = trained(config, 1)
    assert model._n_updates == 1
    assert logs[0]["train/approx_kl"] > 1e-5


def test_a_time_out_is_bootstrapped_with_the_value_of_what_came_last(small):
    config = small("task.episode_steps=32", "task.hold_time=0.02", "vec_env.stagger=false")
    env = normalized(make_vec_env(config), config)
    model = build.make_model(config, env)
    _, callback = model._setup_learn(config.total_timesteps)
    seen = []
    plain = env.step

    def step(action):
        out = plain(action)
        seen.append((out[1].copy(), [info.get("terminal_observation") for info in out[3]]))
        return out

    env.step = step
    model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
    rewards, last = seen[-1]
    with torch.no_grad():
        values = model.policy.predict_values(torch.as_tensor(np.stack(last)))[:, 0].numpy()
    np.testing.assert_allclose(
        model.rollout_buffer.rewards[-1], rewards + config.ppo.gamma * values, rtol=1e-5
    )
    np.testing.assert_array_equal(model.rollout_buffer.rewards[0], seen[0][0])


@pytest.mark.parametrize(
    "overrides",
    [("ppo.use_sde=true",), ("ppo.fast=false",), ("ppo.policy_kwargs.activation_fn=gelu",)],
)
def test_what_the_lean_path_cannot_do_takes_sb3s_code(small, overrides):
    model, logs = trained(small(*overrides), 1)
    assert not model.lean
    assert np.isfinite(logs[0]["train/loss"])


def test_the_learning_rate_follows_its_schedule(small):
    config = small("ppo.learning_rate=1e-3", "total_timesteps=1024")
    assert config.ppo.learning_rate_schedule.kind is ScheduleKind.LINEAR
    _, logs = trained(config, 4)
    end = config.ppo.learning_rate_schedule.end
    expected = [1e-3 * (end + (1 - end) * (1 - i / 4)) for i in (1, 2, 3, 4)]
    assert [log["train/learning_rate"] for log in logs] == pytest.approx(expected)


@pytest.mark.parametrize("fast", ["true", "false"])
def test_the_learning_rate_follows_the_kl_divergence(small, fast):
    wanted = ("ppo.learning_rate_schedule.kind=kl_adaptive", f"ppo.fast={fast}")
    model, logs = trained(small(*wanted, "ppo.learning_rate=1e-2", "ppo.batch_size=32"), 2)
    assert logs[0]["train/approx_kl"] > 2 * 0.01
    assert logs[1]["train/learning_rate"] == pytest.approx(1e-2 / 1.5)
    assert model.learning_rate.factor < 1


def test_every_argument_of_sb3s_ppo_is_a_key_of_the_configuration():
    arguments = set(inspect.signature(PPO).parameters) - {"env", "_init_setup_model"}
    keys = {f.name for f in fields(PPOConfig)}
    assert arguments <= keys
    assert keys - arguments == {
        "learning_rate_schedule",
        "clip_range_schedule",
        "min_std",
        "fast",
    }


@pytest.mark.parametrize("fast", ["true", "false"])
def test_exploration_does_not_fall_below_its_least_deviation(small, fast):
    falling = (f"ppo.fast={fast}", "ppo.ent_coef=-5", "ppo.learning_rate=5e-2")
    held, _ = trained(small(*falling, "ppo.min_std=0.9"), 2)
    free, _ = trained(small(*falling, "ppo.min_std=null"), 2)
    assert free.policy.log_std.exp().max() < 0.85
    np.testing.assert_allclose(held.policy.log_std.detach().exp(), 0.9, rtol=1e-6)


@pytest.mark.parametrize(
    ("threads", "torch_threads", "cores", "wanted"),
    [(2, 1, 4, True), (1, 1, 4, False), (2, 1, 1, False), (2, 2, 4, False), (4, 2, 4, True)],
)
def test_networks_are_updated_side_by_side_where_each_has_its_cores(
    small, monkeypatch, threads, torch_threads, cores, wanted
):
    monkeypatch.setattr(build, "cores", lambda: cores)
    config = small(f"vec_env.threads={threads}", f"torch_threads={torch_threads}")
    before = torch.get_num_threads()
    env = normalized(make_vec_env(config), config)
    try:
        assert build.make_model(config, env).side_by_side is wanted
    finally:
        torch.set_num_threads(before)
        env.close()
