"""Gymnasium's vector face gives what its own vectorisation of single environments gives."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.envs.gym_vector import ReachVectorEnv

Make = Callable[..., Config]
ID = "ReachRL/UR5e-v0"


def same(ours: object, theirs: object) -> None:
    """Equal to the bit, dictionaries of infos included."""
    if isinstance(theirs, tuple):
        ours, theirs = (dict(enumerate(each)) for each in (ours, theirs))  # type: ignore
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and set(ours) == set(theirs)
        for name in theirs:
            same(ours[name], theirs[name])
    elif getattr(getattr(theirs, "dtype", None), "kind", "") == "O":
        for mine, other in zip(ours, theirs, strict=True):  # type: ignore[call-overload]
            np.testing.assert_array_equal(mine, other)
    else:
        np.testing.assert_array_equal(ours, theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_it_is_the_vectorisation_of_single_environments(make: Make, mode: AutoresetMode) -> None:
    """Ninety steps of three arms, over the ends of episodes of 40 steps, with all randomness."""
    config = make()
    own = gymnasium.make_vec(ID, 3, config=config, autoreset_mode=mode)
    stock = gymnasium.make_vec(
        ID, 3, "sync", {"autoreset_mode": mode}, config=config, disable_env_checker=True
    )
    assert isinstance(own, ReachVectorEnv)
    assert own.metadata["autoreset_mode"] is mode
    same(own.reset(seed=5), stock.reset(seed=5))
    draw, ended = np.random.default_rng(0), 0
    for _ in range(90):
        action = draw.uniform(-1.0, 1.0, own.action_space.shape).astype(np.float32)
        ours, theirs = own.step(action), stock.step(action)
        same(ours, theirs)
        over = ours[3]
        ended += int(over.sum())
        if mode is AutoresetMode.DISABLED and over.any():
            with pytest.raises(ValueError, match="reset_mask"):
                own.step(action)
            same(*(env.reset(options={"reset_mask": over.copy()}) for env in (own, stock)))
    assert ended == 6


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_an_episode_counts_once(make: Make, mode: str) -> None:
    """What is drained has each episode and each goal once, whatever happens at the ends."""
    env = ReachVectorEnv(make(), 4, autoreset_mode=mode)
    env.reset(seed=1)
    for _ in range(83):
        env.step(np.zeros((4, 6), np.float32))
    finished = env.drain()
    assert len(finished.episodes) == 8
    assert finished.episodes[:, 1].tolist() == [40] * 8
    assert len(finished.goals) == 8 * 3  # a new one after 15 and 30 of 40 steps


def test_some_episodes_may_begin_anew(make: Make) -> None:
    """A mask names them; a seed starts their streams; the others are where they were."""
    env = ReachVectorEnv(make(), 3)
    first, _ = env.reset(seed=[4, None, 6])
    env.step(np.ones((3, 6), np.float32))
    mask = np.array([True, False, False])
    again, _ = env.reset(seed=[4, 5, 6], options={"reset_mask": mask})
    assert (again[0] == first[0]).all()
    assert (again[1:] != first[1:]).any(axis=1).all()
    assert env.batch.age.tolist() == [0, 1, 1]
    for wrong in (np.zeros(3, bool), np.ones(2, bool), np.ones(3)):
        with pytest.raises(ValueError, match="reset_mask"):
            env.reset(options={"reset_mask": wrong})
    with pytest.raises(ValueError, match="2 of them for 3"):
        env.reset(seed=[1, 2])


def test_overrides_are_those_of_the_command_line() -> None:
    """Also for one environment; the rules about PPO's batch do not hold here."""
    words = ["task=near", "task.region.pool=64", "vec_env.n_envs=3", "vec_env.threads=1"]
    many = gymnasium.make_vec("ReachRL/UR3e-v0", num_envs=2, overrides=words)
    one = gymnasium.make("ReachRL/UR3e-v0", overrides=words)
    for env in (many, one):
        config = env.unwrapped.batch.config
        assert (config.robot.name, config.task.region.name) == ("ur3e", "near")
    for make in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(ConfigError) as wrong:
            make(ID, overrides=["task=neer", "reward.terms.progres=3"])
        assert [problem.partition(" ")[0] for problem in wrong.value.problems] == [
            "task=neer",
            "reward.terms.progres=3",
        ]
        with pytest.raises(ConfigError, match="config is given too"):
            make(ID, config=one.unwrapped.batch.config, overrides=words)


def test_pictures_are_of_one_arm(make: Make) -> None:
    with pytest.raises(ConfigError, match=r'vectorization_mode="sync"'):
        gymnasium.make_vec(ID, config=make(), render_mode="rgb_array")
