"""The batch as SB3's VecEnv."""

from collections.abc import Callable

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecMonitor

from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.mdp.curriculum import Setting
from tests.envs.conftest import LOOSE

Make = Callable[..., Config]
N = 3


def vec(config: Config, *, truncate: bool = True, stagger: bool = False, n: int = N) -> BatchVecEnv:
    return BatchVecEnv(ReachBatch(config, n), truncate_at_goal_change=truncate, stagger=stagger)


def actions(steps: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (steps, n, 6)).astype(np.float32)


@pytest.mark.parametrize("truncate", [True, False])
def test_done_marks_what_cuts_the_return(make: Make, truncate: bool) -> None:
    """Ends of episodes, and new goals on the timer where configured; a record per episode."""
    env, reference = vec(make(), truncate=truncate), ReachBatch(make(), N)
    assert (env.reset() == reference.reset()).all()
    total, fresh = np.zeros(N), 0
    for t, action in enumerate(actions(80), 1):
        observation, reward, done, infos = env.step(action)
        step = reference.step(action)
        total += step.reward
        assert (observation == step.observation).all()
        assert observation.dtype == reward.dtype == np.float32
        cut = t % 40 == 0 or (truncate and t % 40 in (15, 30))
        assert done.tolist() == [cut] * N
        for i, info in enumerate(infos):
            assert ("terminal_observation" in info) == cut
            assert info.get("TimeLimit.truncated", False) == cut
            assert ("episode" in info) == (t % 40 == 0)
            if cut:
                assert (info["terminal_observation"] == step.last_observation[i]).all()
                fresh += not (info["terminal_observation"] == observation[i]).all()
            if t % 40 == 0:
                assert info["episode"] == {"r": pytest.approx(total[i]), "l": 40}
        if t % 40 == 0:
            total[:] = 0.0
    assert fresh > (14 if truncate else 4)


def test_a_goal_that_was_held_does_not_cut_the_return(make: Make) -> None:
    """Reaching it is the policy's own doing; only the timer is like a time-out."""
    env = vec(make(**LOOSE))
    env.reset()
    reached = 0
    for t, action in enumerate(0.1 * actions(80), 1):
        _, _, done, infos = env.step(action)
        assert done.tolist() == [t % 40 == 0] * N
        assert all(("terminal_observation" in info) == (t % 40 == 0) for info in infos)
        reached += env.drain().goals[:, 0].sum()
    assert reached > 3


def test_drain_tells_everything_once(make: Make) -> None:
    """Episodes and goals since the last call, whether steps looked at them or not."""
    env = vec(make())
    env.reset()
    for action in actions(45):
        env.step(action)
    finished = env.drain()
    assert finished.episode_steps.tolist() == [40] * N
    assert finished.goal_steps.tolist() == [15] * N + [30] * N + [40] * N
    again = env.drain()
    assert not len(again.episodes) and not len(again.goals)


def test_staggering_is_for_the_first_reset_alone(make: Make) -> None:
    env = vec(make(), stagger=True, n=4)
    env.reset()
    assert env.batch.age.tolist() == [0, 10, 20, 30]
    env.reset()
    assert env.batch.age.tolist() == [0, 0, 0, 0]
    env = vec(make(), stagger=True, n=4)
    env.restore(env.snapshot())
    env.reset()
    assert env.batch.age.tolist() == [0, 0, 0, 0]


def test_a_reset_in_the_middle_starts_the_records_anew(make: Make) -> None:
    env = vec(make())
    env.reset()
    for action in actions(10):
        env.step(action)
    env.reset()
    for action in actions(40):
        *_, infos = env.step(action)
    assert [info["episode"]["l"] for info in infos] == [40] * N


def test_sb3_wrappers_and_attributes(make: Make) -> None:
    """VecMonitor agrees with the own records; attributes, methods and settings get through."""
    env = vec(make(), truncate=False)
    assert env.num_envs == N
    assert env.observation_space.shape == (env.batch.observe.size,)
    assert env.action_space.contains(np.ones(6, np.float32))
    assert env.get_attr("n") == [N] * N
    assert env.get_attr("joints", [0, 2]) == [6, 6]
    assert env.env_is_wrapped(VecMonitor) == [False] * N
    setting = Setting({"distance": -7.0}, 0.3, 0.4, 1.0)
    env.apply(setting)
    assert env.batch.setting is setting
    env.env_method("apply", Setting({}, 0.1, 0.2, 1.0))
    assert env.batch.setting.position_threshold == 0.1
    monitored = VecMonitor(env)
    monitored.reset()
    for action in actions(40):
        env.step_async(action)
        *_, infos = monitored.step_wait()
    finished = env.drain().episodes
    assert [info["episode"]["l"] for info in infos] == finished[:, 1].tolist()
    got = [info["episode"]["r"] for info in infos]
    assert got == pytest.approx(finished[:, 0].tolist(), abs=1e-3)
