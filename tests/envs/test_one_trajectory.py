"""One implementation, many faces: the same seed and actions give the same numbers everywhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import reach_rl  # noqa: F401  registers the ids
from reach_rl.config.schema import Config, Start
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.pool import goal_pool
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.mdp.goals import Goals
from reach_rl.robots import load_robot
from tests.envs.conftest import EVERYTHING, LOOSE

Make = Callable[..., Config]
N, STEPS = 4, 121
"""Three episodes of 40 steps and the first step of the fourth."""


@dataclass
class Trajectory:
    """What a vectorised environment said, step by step."""

    observation: np.ndarray
    reward: np.ndarray
    done: np.ndarray
    terminal: np.ndarray


def actions(n: int = N) -> np.ndarray:
    """(STEPS, n, 6) random, in part beyond the bounds."""
    return np.random.default_rng(5).normal(scale=0.8, size=(STEPS, 16, 6))[:, :n].astype(np.float32)


def play(env: VecEnv) -> Trajectory:
    seen = [np.array(env.reset())]
    rewards, dones, terminal = [], [], []
    for action in actions(env.num_envs):
        observation, reward, done, infos = env.step(action)
        seen.append(np.array(observation))
        rewards.append(np.array(reward))
        dones.append(np.array(done))
        terminal += [infos[i]["terminal_observation"] for i in np.flatnonzero(done)]
    env.close()
    return Trajectory(np.array(seen), np.array(rewards), np.array(dones), np.array(terminal))


def batch(config: Config, goals: Goals, n: int = N, threads: int = 1) -> VecEnv:
    made = ReachBatch(config, n, goals=goals, threads=threads)
    return BatchVecEnv(made, truncate_at_goal_change=False, stagger=False)


def makers(config: Config, goals: Goals) -> list[Callable[[], gymnasium.Env]]:
    return [lambda i=i: ReachEnv(config, seed=config.seed + i, goals=goals) for i in range(N)]


def same(one: Trajectory, other: Trajectory, tolerance: float) -> None:
    assert (one.done == other.done).all()
    for name in ("observation", "reward", "terminal"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance, name


@dataclass
class Case:
    """A configuration with its goals, and the trajectory of the batch."""

    config: Config
    goals: Goals
    batch: Trajectory


def configs(make: Make) -> dict[str, Config]:
    """Goals on a timer; and goals on a hold with everything random, from random starts."""
    return {
        "timer": make(),
        "hold": make(**LOOSE, randomization=EVERYTHING, start=Start.REGION),
    }


@pytest.fixture(params=["timer", "hold"])
def case(request: pytest.FixtureRequest, make: Make) -> Case:
    config = configs(make)[request.param]
    goals = goal_pool(config, load_robot(config.robot, config.task.physics_step))
    return Case(config, goals, play(batch(config, goals)))


def test_the_trajectory_has_what_it_should_prove(case: Case, make: Make) -> None:
    """Three episode ends for each environment, new goals within the episodes, and sensor noise."""
    ends = np.argwhere(case.batch.done)
    assert sorted(ends.tolist()) == [[t, i] for t in (39, 79, 119) for i in range(N)]
    assert case.batch.terminal.shape == (3 * N, case.batch.observation.shape[2])
    made = ReachBatch(case.config, N, goals=case.goals)
    made.reset()
    changed = np.array([made.step(a).goal_changed for a in actions()])
    assert changed.any(axis=0).all()
    assert made.observe.noisy
    assert len(np.unique(case.batch.observation[0], axis=0)) == N


def test_threads_do_not_matter(case: Case) -> None:
    same(play(batch(case.config, case.goals, threads=2)), case.batch, 0.0)


def test_dummy_is_the_batch(case: Case) -> None:
    """To rounding: NumPy sums rows of different counts in different orders."""
    same(play(DummyVecEnv(makers(case.config, case.goals))), case.batch, 1e-6)


def test_subproc_is_dummy(make: Make) -> None:
    """Bit for bit; two environments of each case in one, for each costs a process."""
    mixed = []
    for config in configs(make).values():
        goals = goal_pool(config, load_robot(config.robot, config.task.physics_step))
        mixed += makers(config, goals)[:2]
    same(play(SubprocVecEnv(mixed, start_method="fork")), play(DummyVecEnv(mixed)), 0.0)


def test_gymnasium_is_the_batch(case: Case) -> None:
    """gymnasium.make, one environment at a time, each seeded in its first reset."""
    for i in range(N):
        env = gymnasium.make("ReachRL/UR5e-v0", config=case.config, goals=case.goals)
        expected = [case.batch.observation[0, i]]
        got = [env.reset(seed=case.config.seed + i)[0]]
        for t, action in enumerate(actions()[:, i]):
            observation, reward, terminated, truncated, _ = env.step(action)
            assert reward == pytest.approx(case.batch.reward[t, i], abs=1e-6)
            assert not terminated
            assert truncated == case.batch.done[t, i]
            if truncated:
                got.append(observation)
                expected.append(case.batch.terminal[t // 40 * N + i])
                observation = env.reset()[0]
            got.append(observation)
            expected.append(case.batch.observation[t + 1, i])
        assert np.abs(np.array(got) - expected).max() < 1e-6
        env.close()


@pytest.mark.parametrize("n", [1, 3, 9])
def test_an_environment_does_not_depend_on_how_many_there_are(case: Case, n: int) -> None:
    """Only rounding may differ: NumPy sums columns of different lengths differently."""
    got, k = play(batch(case.config, case.goals, n)), min(n, N)
    assert np.abs(got.observation[:, :k] - case.batch.observation[:, :k]).max() < 1e-6
    assert np.abs(got.reward[:, :k] - case.batch.reward[:, :k]).max() < 1e-6


def test_seeds_make_the_difference(case: Case) -> None:
    """seed() of the vectorised environment starts as a run of that seed; others differ."""
    env = batch(case.config, case.goals)
    env.seed(case.config.seed + 1)
    moved = play(env).observation[0]
    assert (moved[:-1] == case.batch.observation[0, 1:]).all()
    other = replace(case.config, seed=case.config.seed + 100)
    assert not (play(batch(other, case.goals)).observation[0] == case.batch.observation[0]).all()
