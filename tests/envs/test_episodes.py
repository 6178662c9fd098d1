"""How arms move, summed up per episode: against plain sums, and the same on every face."""

from collections.abc import Callable

import numpy as np
import pytest

from reach_rl.config.schema import Config
from reach_rl.envs import episodes
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.episodes import EPISODE, MOTION, Finished
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.pool import goal_pool
from reach_rl.envs.vec_env import BatchVecEnv, ReachDummyVecEnv
from reach_rl.robots import load_robot
from reach_rl.training.rollout_metrics import Window
from tests.envs.conftest import LOOSE

Make = Callable[..., Config]
N, STEPS = 3, 40
"""One episode of each environment."""
WIDE = {**LOOSE, "goal_change": "timer", "position_threshold": 0.5, "hold_time": 0.06}


def actions() -> np.ndarray:
    """(STEPS, N, 6), some beyond the bounds."""
    return np.random.default_rng(3).normal(scale=0.7, size=(STEPS, N, 6))


@pytest.fixture
def config(make: Make) -> Config:
    return make(**WIDE)


@pytest.fixture
def batch(config: Config) -> ReachBatch:
    return ReachBatch(config, N)


def finished_of(batch: ReachBatch) -> Finished:
    batch.reset()
    for action in actions():
        batch.step(action)
    return batch.episodes.drain()


def test_sums_are_those_of_a_plain_loop(batch: ReachBatch) -> None:
    batch.reset()
    batch.autoreset = False  # the last state of an episode stays to be looked at
    s, dt = batch.state, batch.task.control_period
    tools, speeds = [s.tool_position.copy()], [s.joint_velocity.copy()]
    done, inside, reached_at = [np.zeros((N, 6))], [], []
    for action in actions():
        batch.step(action)
        tools.append(s.tool_position.copy())
        speeds.append(s.joint_velocity.copy())
        done.append(s.action.copy())
        inside.append(s.inside_steps > 0)
        reached_at.append(s.completed.copy())
    found = batch.episodes.drain()
    tool, speed, act = np.array(tools), np.array(speeds), np.array(done)
    near = np.array(inside)
    # at rest before the episode: two speeds of zero before the first step
    padded = np.concatenate((np.zeros((1, N, 6)), speed))
    jerk = np.diff(padded, n=2, axis=0) / dt**2
    rate = np.square(np.diff(act, axis=0)).sum(axis=2)
    norm = np.linalg.norm(speed[1:], axis=2)
    expected = {
        "tool_speed": np.linalg.norm(np.diff(tool, axis=0), axis=2).sum(axis=0) / dt,
        "action_rate": rate.sum(axis=0),
        "jerk": np.square(jerk).sum(axis=(0, 2)),
        "action_saturation": (np.abs(act[1:]) == 1.0).mean(axis=2).sum(axis=0),
        "goal_share": near.sum(axis=0),
        "goal_joint_speed": (near * norm).sum(axis=0),
        "goal_action_rate": (near * rate).sum(axis=0),
    }
    assert near.any() and not near.all() and (expected["action_saturation"] > 0).all()
    sums = found.episodes
    for column, name in enumerate(MOTION, len(EPISODE)):
        np.testing.assert_allclose(sums[:, column], expected[name], rtol=1e-9, err_msg=name)
    limits = batch.arm.velocity_limits
    np.testing.assert_allclose(sums[:, 5], (np.abs(speed) / limits).max(axis=(0, 2)))
    assert np.array(reached_at).any()


def test_time_to_success_counts_from_the_goals_appearance(
    config: Config, batch: ReachBatch
) -> None:
    batch.reset()
    batch.autoreset = False
    shown = np.zeros(N, int)
    times: list[float] = []
    for step, action in enumerate(actions(), 1):
        outcome = batch.step(action)
        over = outcome.goal_changed | outcome.timed_out
        times += [0.0] * int(over.sum())
        for row in np.flatnonzero(batch.state.completed):
            times.append((step - shown[row]) * config.task.control_period)
        shown[outcome.goal_changed] = step
    found = batch.episodes.drain()
    reached, seconds = found.goals[:, 0].astype(bool), found.goals[:, 3]
    assert reached.any() and not reached.all()
    assert ((seconds > 0) == reached).all()
    assert sorted(s for s in seconds.tolist() if s) == pytest.approx(sorted(t for t in times if t))


def test_every_face_gives_the_same_metrics(config: Config) -> None:
    goals = goal_pool(config, load_robot(config.robot, config.task.physics_step))
    makers = [lambda i=i: ReachEnv(config, seed=config.seed + i, goals=goals) for i in range(N)]
    batch = ReachBatch(config, N, goals=goals)
    faces = {
        "batch": BatchVecEnv(batch, truncate_at_goal_change=False, stagger=False),
        "dummy": ReachDummyVecEnv(batch, makers),
    }
    found = {}
    for name, env in faces.items():
        window = Window(100, batch.reward.names)
        env.reset()
        for action in actions():
            env.step(action.astype(np.float32))
        finished = env.drain()
        assert (np.diff(finished.goal_steps) >= 0).all() and len(finished.episodes) == N
        window.add(finished)
        found[name] = window.metrics()
        env.close()
    assert found["batch"].keys() == found["dummy"].keys()
    assert len(found["batch"]) > 20
    assert found["dummy"] == pytest.approx(found["batch"], rel=1e-6, abs=1e-9)


def test_an_episode_goes_on_from_a_snapshot(config: Config) -> None:
    one, other = ReachBatch(config, N), ReachBatch(config, N)
    one.reset()
    other.reset()
    for action in actions()[:20]:
        one.step(action)
    other.restore(one.snapshot())
    one.episodes.drain()
    for action in actions()[20:]:
        one.step(action)
        other.step(action)
    a, b = one.episodes.drain(), other.episodes.drain()
    np.testing.assert_array_equal(a.goals[-N:], b.goals[-N:])
    np.testing.assert_array_equal(a.episodes, b.episodes)


def test_what_nobody_asks_for_is_forgotten(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    """Whoever steps an environment and never drains it needs no more memory for that."""
    monkeypatch.setattr(episodes, "_KEPT", 3)
    batch = ReachBatch(make(episode_steps=2, goal_period=2), 1)
    batch.reset()
    for _ in range(20):
        batch.step(np.zeros((1, 6)))
    assert len(batch.episodes.drain().episodes) == 3
