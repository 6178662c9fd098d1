"""Gymnasium's and SB3's usual wrappers over whole episodes: none of their names is ours."""

from collections.abc import Callable, Iterator
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.robots.display import RenderError, backend

Make = Callable[..., Config]
STEPS = 40
"""Of an episode."""
NAME = "ReachRL/UR5e-v0"


@pytest.fixture
def config(make: Make) -> Config:
    return make()


def episodes(env: gymnasium.Env, steps: int = STEPS) -> Iterator[tuple[float, dict]]:
    """Two episodes: their returns, and their last info."""
    for seed in (0, 1):
        env.reset(seed=seed)
        total = 0.0
        for step in range(1, steps + 1):
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += float(reward)
            assert not terminated and truncated == (step == steps)
        yield total, info


SINGLE = {
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "ClipAction": wrappers.ClipAction,
    "FlattenObservation": wrappers.FlattenObservation,
    "FrameStackObservation": partial(wrappers.FrameStackObservation, stack_size=3),
    "TimeLimit": partial(wrappers.TimeLimit, max_episode_steps=7),
    "Monitor": Monitor,
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_wrapper_over_whole_episodes(config: Config, name: str) -> None:
    env = SINGLE[name](gymnasium.make(NAME, config=config))
    steps = 7 if name == "TimeLimit" else STEPS
    for total, info in episodes(env, steps):
        observation = env.reset()[0]
        assert env.observation_space.contains(observation)
        if name in ("RecordEpisodeStatistics", "Monitor"):
            assert info["episode"]["l"] == STEPS
            assert float(info["episode"]["r"]) == pytest.approx(total, abs=1e-4)
    env.close()


def test_all_of_a_cleanrl_script_at_once(config: Config) -> None:
    """In its order; the statistics are those of the raw rewards."""
    env = gymnasium.make(NAME, config=config)
    for wrap in (
        wrappers.FlattenObservation,
        wrappers.RecordEpisodeStatistics,
        wrappers.ClipAction,
        wrappers.NormalizeObservation,
        lambda env: wrappers.TransformObservation(
            env, lambda o: np.clip(o, -10, 10), env.observation_space
        ),
        wrappers.NormalizeReward,
        lambda env: wrappers.TransformReward(env, lambda r: np.clip(r, -10, 10)),
    ):
        env = wrap(env)
    for _, info in episodes(env):
        assert info["episode"]["l"] == STEPS
    env.close()


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("inner", [False, True])
def test_vectors_in_every_mode_of_resetting(
    config: Config, mode: AutoresetMode, inner: bool
) -> None:
    """With the statistics around the vector, and around each environment."""
    kwargs = {"config": config}
    each = [wrappers.RecordEpisodeStatistics] if inner else []
    vector = gymnasium.make_vec(
        NAME,
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        wrappers=each,
        **kwargs,
    )
    env = vector if inner else wrappers.vector.RecordEpisodeStatistics(vector)
    env.reset(seed=0)
    lengths = []
    for _ in range(2 * STEPS + 2):
        _, _, _, truncated, info = env.step(env.action_space.sample())
        if mode == AutoresetMode.DISABLED and truncated.any():
            env.reset(options={"reset_mask": truncated})
        found = info.get("final_info", info).get("episode", info.get("episode"))
        if found is not None and truncated.any():
            lengths += np.asarray(found["l"])[truncated].tolist()
    assert lengths[:4] == [STEPS] * 4
    env.close()


def batch(config: Config) -> VecEnv:
    return BatchVecEnv(ReachBatch(config, 2), truncate_at_goal_change=False, stagger=False)


def dummy(config: Config) -> VecEnv:
    return DummyVecEnv([lambda: gymnasium.make(NAME, config=config)] * 2)


@pytest.mark.parametrize("kind", [batch, dummy])
def test_sb3s_vector_wrappers(config: Config, kind: Callable[[Config], VecEnv]) -> None:
    """One around the other; episodes are recorded, and the last observation has its shape."""
    env = VecFrameStack(VecNormalize(VecMonitor(kind(config))), 3)
    observation = env.reset()
    lengths = []
    for _ in range(2 * STEPS):
        actions = np.array([env.action_space.sample() for _ in range(2)])
        observation, _, done, infos = env.step(actions)
        for info in np.array(infos)[done]:
            lengths.append(info["episode"]["l"])
            assert info["terminal_observation"].shape == observation[0].shape
            assert info["TimeLimit.truncated"]
    assert lengths == [STEPS] * 4
    env.close()


def test_films(make: Make, tmp_path) -> None:
    """Frames of an episode; and RecordVideo, where what it needs is installed."""
    try:
        backend()
    except RenderError as error:
        pytest.skip(str(error))
    config = make(episode_steps=2)
    env = gymnasium.make(NAME, config=config, render_mode="rgb_array")
    collected = wrappers.RenderCollection(env)
    next(episodes(collected, 2))
    frames = collected.render()
    assert len(frames) == 3 and frames[0].shape == (480, 640, 3)
    pytest.importorskip("moviepy")
    video = wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda episode: True)
    assert len([*episodes(video, 2)]) == 2
    video.close()
    assert len([*tmp_path.glob("*.mp4")]) == 2
