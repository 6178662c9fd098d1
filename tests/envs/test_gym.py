"""The Gymnasium face: registration, the checkers, and pictures."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from reach_rl.config import ur_arms
from reach_rl.config.schema import Config
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.robots.display import RenderError, backend

Make = Callable[..., Config]
IDS = [f"ReachRL/UR{name.removeprefix('ur')}-v0" for name in ur_arms()]


@pytest.fixture(scope="module")
def draws() -> None:
    """Skip where nothing can draw."""
    try:
        backend()
    except RenderError as error:
        pytest.skip(str(error))


@pytest.fixture
def env(make: Make) -> Iterator[ReachEnv]:
    env = ReachEnv(make())
    yield env
    env.close()


def test_nine_robots_are_registered() -> None:
    assert len(IDS) == 9
    assert {i for i in gymnasium.registry if i.startswith("ReachRL/")} == set(IDS)


@pytest.mark.parametrize("name", IDS)
def test_checkers_find_nothing(name: str) -> None:
    """Both checkers, any warning an error, on the environment as anyone would make it."""
    env = gymnasium.make(name, disable_env_checker=True)
    robot = name.removeprefix("ReachRL/").removesuffix("-v0").lower()
    assert env.unwrapped.batch.robot.name == robot  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # SB3 does not care for an unbounded observation, nor Gymnasium for its own spaces' limits
        warnings.filterwarnings("ignore", message=".*observation space (min|max)imum value is.*")
        warnings.filterwarnings("ignore", message=".*Box observation space.*infinity.*")
        gymnasium_check(env.unwrapped, skip_render_check=True)
        sb3_check(env.unwrapped)
    env.close()


@pytest.mark.parametrize("imports", ["import reach_rl, gymnasium", "import gymnasium, reach_rl"])
def test_one_import_is_enough(imports: str) -> None:
    """In a fresh process: import reach_rl, gymnasium.make, a first step; no learner is loaded."""
    code = (
        f"{imports}\n"
        "env = gymnasium.make('ReachRL/UR10e-v0')\n"
        "env.reset(seed=1)\n"
        "out = env.step(env.action_space.sample())\n"
        "print(len(out), env.action_space.shape, env.unwrapped.batch.robot.name)\n"
        "import sys; print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["5 (6,) ur10e", "False"]


def test_the_import_brings_no_simulator_and_no_learner() -> None:
    """So that --help and mistakes are quick: not even Gymnasium."""
    code = (
        "import sys, reach_rl\n"
        "print([m for m in ('gymnasium', 'mujoco', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_seed_decides_the_episode(env: ReachEnv) -> None:
    """Equal seeds, equal episodes; without one, the stream goes on."""
    one, other = env.reset(seed=3)[0], env.reset(seed=4)[0]
    again, later = env.reset(seed=3)[0], env.reset()[0]
    assert (one == again).all()
    assert not (one == other).all()
    assert not (later == again).all()
    assert (env.reset(seed=4)[0] == other).all()


def test_info_tells_how_it_stands(env: ReachEnv) -> None:
    """Errors of the goal aimed at, new goals; the episode's record is for who asks."""
    env.reset(seed=0)
    total = 0.0
    for t in range(1, 41):
        _, reward, terminated, truncated, info = env.step(np.zeros(6, np.float32))
        total += reward
        assert not terminated
        assert truncated == (t == 40)
        assert info["goal_changed"] == (t in (15, 30))
        if not info["goal_changed"]:
            state = env.batch.state
            assert info["position_error"] == pytest.approx(np.linalg.norm(state.position_error))
            assert info["orientation_error"] == pytest.approx(np.linalg.norm(state.rotation_error))
    assert "episode" not in info  # the name is Gymnasium's
    assert env.drain().episodes[0, :2].tolist() == [pytest.approx(total), 40]


def test_an_episode_given_up_does_not_count_in_the_next(env: ReachEnv) -> None:
    """reset() in the middle: the next record holds its own steps alone."""
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.ones(6, np.float32))
    env.reset(seed=0)
    total = 0.0
    for _ in range(40):
        out = env.step(np.zeros(6, np.float32))
        total += float(out[1])
    assert env.drain().episodes[:, :2].tolist() == [[pytest.approx(total), 40]]


@pytest.mark.usefixtures("draws")
def test_pictures_show_arm_and_goal(make: Make) -> None:
    """A frame follows the arm and the goal; Gymnasium's own check of rendering passes."""
    env = gymnasium.make("ReachRL/UR5e-v0", config=make(), render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert (env.render() == first).all()
    batch = env.unwrapped.batch  # type: ignore[attr-defined]
    batch.assign_goals(np.array([0]), (batch.goal_index + 1) % len(batch.goals))
    moved_goal = env.render()
    changed = (np.abs(moved_goal.astype(int) - first).max(axis=2) > 30).mean()  # type: ignore
    assert 1e-4 < changed < 0.05
    for _ in range(10):
        env.step(np.ones(6, np.float32))
    assert (np.abs(env.render().astype(int) - moved_goal).max(axis=2) > 30).mean() > 0.01  # type: ignore
    assert env.metadata["render_fps"] == 50
    env.close()
    env.close()


def test_no_render_mode_no_picture(env: ReachEnv) -> None:
    assert env.render() is None
